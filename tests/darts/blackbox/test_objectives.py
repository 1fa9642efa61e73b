"""Objectives and limits: how they are written, what they refuse, and searches that keep to them."""

import json
import math
from dataclasses import replace
from pathlib import Path
from random import Random

import optuna
import pytest

from darts.benchmarks.protocol import Score
from darts.blackbox import objectives
from darts.blackbox.evaluators import Problem, Setting, problem_of
from darts.blackbox.objectives import Goals, goals_of, is_feasible
from darts.blackbox.pareto.replay import replay_pareto, searched
from darts.blackbox.points import ArchitectureDecisions, every
from darts.blackbox.replay import Table
from darts.blackbox.results import comparable
from darts.blackbox.run import run_study, sampler_of, write_study
from darts.blackbox.samplers import suggest
from darts.blackbox.strategies import NSGA2, ParetoLocalSearch, SurrogateDescent
from darts.config import SearchSpaceConfig, WeightsConfig
from darts.config.blackbox import BlackboxConfig, BudgetConfig
from darts.errors import UserError
from genotypes import load
from supernet.cost.additive import parts_of
from supernet.cost.architecture import Deployment, costs_of
from supernet.cost.latency_table import Check, LatencyTable
from supernet.cost.timing import NoisyMachine, Timing
from supernet.errors import SpaceError
from supernet.parts import kept_parts, keys_of
from supernet.shapes import ImageShape
from supernet.spaces.nasbench201 import NASBench201Space
from tests import tiny
from tests.darts.blackbox.test_run import QUIET, trials_of

TWO = "accuracy,multiply_adds"


DECISIONS = ArchitectureDecisions(NASBench201Space(ImageShape(3, 32, 10)))
SIZES = {"nor_conv_3x3": 9, "nor_conv_1x1": 1}


def searching(trials, **options):
    """A search by trials."""
    return BlackboxConfig(space=SearchSpaceConfig(name="nasbench201"), budget=BudgetConfig(trials=trials), **options)


def costs(genotype, settings):
    """A hundred thousand weights, and as many for each weight of a convolution's kernel."""
    size = 1 + sum(SIZES.get(op, 0) for op in genotype.ops)
    return {"parameters": 1e5 * size, "multiply_adds": 1e7 * size}


def made_up(config):
    """Convolutions are good, and cost."""

    def evaluate(genotype, budget, trial):
        good = sum("conv" in op for op in genotype.ops) + 0.3 * sum("3x3" in op for op in genotype.ops)
        return Score({"valid_accuracy": good / 8, **costs(genotype, {})}, seconds=1.0)

    return Problem(DECISIONS, evaluate, costs)


def goals(objectives="accuracy", limits=None):
    return goals_of(BlackboxConfig(objectives=objectives, limits=limits))


def test_directions_are_known_by_name():
    directions = goals("accuracy,loss,parameters,seconds").directions
    assert [way.name.lower() for way in directions] == ["maximize", "minimize", "minimize", "minimize"]
    assert goals(TWO, "parameters=200k").counted == ("parameters", "multiply_adds")
    score = Score({"valid_accuracy": 0.5, "multiply_adds": 2e6, "latency_ms": 3.0}, seconds=7.0)
    assert goals("latency,accuracy,multiply_adds,seconds").values(score) == [3.0, 0.5, 2e6, 7.0]


def test_limits_have_units():
    assert goals(limits="parameters=200k,multiply_adds=3M,latency=1.5").limits == {
        "parameters": 2e5,
        "multiply_adds": 3e6,
        "latency": 1.5,
    }
    limited = goals(limits="parameters=200k,multiply_adds=3M")
    assert limited.excesses({"parameters": 3e5, "multiply_adds": 1.5e6}) == {"parameters": 0.5, "multiply_adds": -0.5}
    assert limited.infeasible({"parameters": 3e5, "multiply_adds": 1.5e6}) == "300k parameters, limit 200k"
    assert limited.infeasible({"parameters": 2e5, "multiply_adds": 3e6}) == ""
    assert goals(TWO).values_untrained({"multiply_adds": 5.0}) == [-math.inf, 5.0]


@pytest.mark.parametrize(
    ("objectives", "limits", "reason"),
    [
        ("accuracy,beauty", None, "`objectives`: 'beauty' is none; it must be of accuracy, "),
        ("loss,loss", None, "`objectives` names loss twice"),
        ("", None, "`objectives`: '' is none"),
        ("accuracy", "accuracy=0.5", "`limits` is 'accuracy=0.5'.* one of parameters"),
        ("accuracy", "parameters=many", "`limits` .*not a positive quantity of parameters"),
        ("accuracy", "parameters=-1", "`limits` .*not a positive quantity of parameters"),
        ("accuracy", "parameters", "`limits`"),
        ("accuracy", "parameters=1,parameters=2", "two limits of parameters"),
    ],
)
def test_what_cannot_be_is_one_line(objectives, limits, reason):
    with pytest.raises((UserError, SpaceError), match=reason):
        goals(objectives, limits)


def test_a_strategy_for_one_objective_says_so():
    config = searching(3, strategy="evolution", objectives=TWO)
    with pytest.raises(UserError, match="`strategy` evolution searches by one of `objectives`; by several do random"):
        sampler_of(config, made_up(config))


class Once:
    """An evaluator that counts its calls, and is never asked about an architecture over a limit."""

    def __init__(self, problem, most):
        self.problem, self.most, self.calls = problem, most, 0

    def __call__(self, genotype, budget, trial):
        self.calls += 1
        score = self.problem.evaluator(genotype, budget, trial)
        assert score.values["parameters"] <= self.most
        return score


@pytest.mark.parametrize(
    ("strategy", "objectives"),
    [("random", TWO), ("evolution:population=4,sample=2", "accuracy"), ("nsga2:population=3", TWO)],
)
def test_an_architecture_over_a_limit_is_recorded_and_not_evaluated(tmp_path, strategy, objectives):
    limits = "parameters=2M,multiply_adds=180M"
    config = searching(12, strategy=strategy, objectives=objectives, limits=limits)
    problem = made_up(config)
    once = Once(problem, 1.8e6)
    study = run_study(config, Problem(problem.decisions, once, problem.costs), tmp_path, QUIET)
    write_study(config, study, tmp_path)
    rows = trials_of(tmp_path)
    over = [row for row in rows if row["state"] == "infeasible"]
    assert once.calls == len(rows) - len(over) == len(comparable(study.trials)) == 12 and over, (
        "they take nothing of the budget"
    )
    for row in over:
        assert row["value"] is None and row["values"]["parameters"] > 0 and "limit" in row["infeasible"]
        assert max(row["constraints"].values()) > 0 and not is_feasible(study.trials[row["trial"] - 1])
    assert all(is_feasible(trial) for trial in study.best_trials)
    assert json.loads((tmp_path / "metrics.json").read_text())["parameters"] <= 1.8e6


@pytest.mark.parametrize("strategy", ["nsga2_optuna", "tpe", "gp"])
def test_constrained_samplers_of_optuna_learn_of_limits(tmp_path, strategy):
    config = searching(11, strategy=strategy, objectives=TWO, limits="parameters=2M")
    problem = made_up(config)
    study = run_study(config, problem, tmp_path, QUIET)
    assert len(comparable(study.trials)) == 11
    assert all(is_feasible(trial) for trial in study.best_trials)


def test_a_study_with_several_objectives_in_parts_is_a_whole_one(tmp_path):
    rows = {}
    for name, counts in (("whole", (6,)), ("parts", (4, 6))):
        for trials in counts:
            config = searching(trials, strategy="nsga2:population=2", objectives=TWO, limits="parameters=3M")
            write_study(config, run_study(config, made_up(config), tmp_path / name, QUIET), tmp_path / name)
        rows[name] = trials_of(tmp_path / name)
    assert rows["parts"] == rows["whole"]


def test_limits_that_nothing_meets_end_a_search(tmp_path, monkeypatch):
    monkeypatch.setattr("darts.blackbox.study.MAX_INFEASIBLE", 6)
    config = searching(3, strategy="random", limits="parameters=1")
    problem = made_up(config)
    with pytest.raises(UserError, match="`limits`: each of the last 6 architectures exceeds one"):
        run_study(config, problem, tmp_path, QUIET)


def test_costs_are_those_of_the_trained_network(tmp_path):
    config = BlackboxConfig(
        space=SearchSpaceConfig(channels=2, layers=3),
        strategy="nsga2:population=2",
        objectives="accuracy,parameters,multiply_adds",
        limits="parameters=3k",
        budget=BudgetConfig(trials=2, epochs=1),
        weights=WeightsConfig(lr_min=0.0),
        batch_size=8,
    )
    data = tiny.data()
    problem = problem_of(config, lambda: Setting(config, data, tiny.CPU, tmp_path, QUIET))
    study = run_study(config, problem, tmp_path, QUIET)
    write_study(config, study, tmp_path)
    done = [row for row in trials_of(tmp_path) if row["state"] == "complete"]
    assert len(done) == 2
    for row in done:
        wanted = costs_of(
            problem.decisions.space, load(row["genotype"]), ("parameters", "multiply_adds"), Deployment(data.shape)
        )
        assert {name: row["values"][name] for name in wanted} == wanted and wanted["parameters"] <= 3000


def by_latency(folder, **options):
    config = BlackboxConfig(
        space=SearchSpaceConfig(channels=2, layers=3),
        objectives="accuracy,latency",
        budget=BudgetConfig(trials=1, epochs=1),
        **options,
    )
    return config, problem_of(config, lambda: Setting(config, tiny.data(), tiny.CPU, folder, QUIET))


def test_latency_is_measured(tmp_path, monkeypatch):
    asked = []

    def measured(calls, device, protocol):
        asked.extend(calls.values())
        return {name: Timing(1.5, 0.1) for name in calls}

    monkeypatch.setattr(objectives, "measure", measured)
    _, problem = by_latency(tmp_path)
    assert problem.costs(load("DARTS_V2"), {}) == {"latency_ms": 1.5} and asked[0]().shape == (1, 3)


def test_a_latency_that_cannot_be_measured_fails_its_trial_alone(tmp_path, monkeypatch):
    def noisy(*arguments):
        raise NoisyMachine("the machine is too busy to measure latency")

    monkeypatch.setattr(objectives, "measure", noisy)
    config, problem = by_latency(tmp_path)
    study = run_study(config, problem, tmp_path, QUIET)
    assert [trial.user_attrs["reason"] for trial in study.trials] == ["the machine is too busy to measure latency"]


def test_latency_is_predicted_from_a_table(tmp_path):
    """Every part takes a millisecond: a network takes as many as it has parts, whatever the machine does."""
    _, problem = by_latency(tmp_path, latencies=tmp_path / "latency.json")
    space = problem.decisions.space
    parts = parts_of(space, tiny.data().shape)
    about = {"space": "darts", "channels": 2, "layers": 3, "image": [1, 8, 3]}
    check = Check(4, 0.9, 0.1, (1.0,), (1.0,))
    factors = {part.name: 1.0 for part in parts}
    LatencyTable(dict.fromkeys(keys_of(parts), Timing(1.0, 0.1)), 0.0, factors, check, about).write(
        tmp_path / "latency.json"
    )
    genotype = load("DARTS_V2")
    expected = len(kept_parts(parts, space.picks(genotype)))
    assert problem.costs(genotype, {}) == {"latency_ms": expected} and expected == 3 * 8


def test_a_users_own_study_with_nsga2():
    config = searching(3, strategy="nsga2:population=5", objectives=TWO)
    problem = made_up(config)
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=sampler_of(replace(config, seed=9), problem)
    )

    def evaluate(trial):
        point = suggest(trial, problem.decisions)
        if trial.number % 7 == 3:
            raise optuna.TrialPruned
        return sum("conv" in value for value in point.values()), sum("3x3" in value for value in point.values())

    study.optimize(evaluate, n_trials=80)
    assert max(trial.values for trial in study.best_trials)[0] == 6 and sampler_of(config, problem).seed == 0


def test_no_goal_of_costs_counts_nothing():
    assert Goals().counted == ()


@pytest.mark.parametrize(
    ("further", "over"),
    [({"scheduler": "asha:eta=2"}, "paused"), ({"stoppers": ("median:trials=1,epochs=0",)}, "pruned")],
)
def test_several_objectives_and_limits_go_with_pruning(tmp_path, further, over):
    config = searching(7, strategy="nsga2:population=3", objectives=TWO, limits="parameters=3M", **further)
    config = replace(config, budget=replace(config.budget, epochs=2))
    whole = made_up(config)

    def evaluate(genotype, budget, trial):
        score = whole.evaluator(genotype, budget, trial)
        accuracy = score.values["valid_accuracy"] * budget.epochs / 2
        return replace(score, values={**score.values, "valid_accuracy": accuracy})

    study = run_study(config, Problem(DECISIONS, evaluate, costs), tmp_path, QUIET)
    write_study(config, study, tmp_path)
    rows = [row for row in trials_of(tmp_path) if row["state"] != "infeasible"]
    assert len(rows) == 7 and over in {row["state"] for row in rows}
    points = json.loads((tmp_path / "pareto.json").read_text())["points"]
    longest = {row["trial"] for row in rows if "2" in row["objectives"]}
    assert points and {point["trial"] for point in points} <= longest, "trainings of other lengths are not compared"


def test_the_trials_are_written_while_a_search_runs(tmp_path):
    config = searching(3, strategy="random")
    seen = []

    def evaluate(genotype, budget, trial):
        seen.append(len(trials_of(tmp_path)) if (tmp_path / "trials.json").exists() else None)
        return Score({"valid_accuracy": 0.5}, 1.0)

    run_study(config, Problem(DECISIONS, evaluate), tmp_path, QUIET)
    assert seen == [None, 1, 1], "at once, then not again within ten seconds"


def test_replays_for_several_objectives_find_the_exact_set_of_a_small_space(tmp_path):
    class Benchmark:
        def query(self, genotype, data, epochs):
            score = made_up(None).evaluator(genotype, None, None)
            return replace(score, values={**score.values, "test_accuracy": score.values["valid_accuracy"]})

    table = Table(Benchmark(), "cifar10", 200)
    few = Few()
    found = replay_pareto(NSGA2(6), few, table, goals(TWO), BudgetConfig(trials=30), range(2), QUIET)
    assert found.shares == [1.0, 1.0] and found.queries == [30, 30] and found.points == found.found[0]
    assert "hypervolume 100.00 ± 0.00 % of the exact Pareto set's" in list(found.lines())[1]
    limited = goals(TWO, "parameters=700k")
    within = replay_pareto(NSGA2(6), few, table, limited, BudgetConfig(trials=30), range(2), QUIET)
    assert within.shares == [1.0, 1.0] and 0 < within.points < found.points
    with pytest.raises(UserError, match="`limits`: no architecture of the table is within them"):
        replay_pareto(NSGA2(6), few, table, goals(TWO, "parameters=1k"), BudgetConfig(trials=3), range(2), QUIET)


@pytest.mark.parametrize("strategy", [NSGA2(4), ParetoLocalSearch(3), SurrogateDescent(first=4, batch=2, steps=9)])
def test_a_replay_looks_up_what_the_search_evaluates(tmp_path, strategy):
    """Architectures over a limit, which neither evaluates, among them."""

    class Benchmark:
        def query(self, genotype, data, epochs):
            return made_up(None).evaluator(genotype, None, None)

    names = {NSGA2: "nsga2:population=4", ParetoLocalSearch: "pareto_local_search:first=3"}
    text = names.get(type(strategy), "surrogate_descent:first=4,batch=2,steps=9")
    config = searching(12, strategy=text, objectives=TWO, limits="parameters=2M", seed=3)
    limited = goals_of(config)
    priced = DECISIONS.priced(lambda genotype: limited.untrained(costs(genotype, {})))
    study = run_study(config, Problem(priced, made_up(config).evaluator, costs), tmp_path, QUIET)
    evaluated = [trial.values for trial in study.trials if is_feasible(trial)]
    table = Table(Benchmark(), "cifar10", 200)
    replayed = searched(strategy, DECISIONS, table, limited, BudgetConfig(trials=12), seed=3)
    assert [limited.values(score) for score in replayed] == evaluated and len(evaluated) == 12


def test_in_a_replay_only_what_is_within_the_limits_is_looked_up():
    looked_up = []

    class Benchmark:
        def query(self, genotype, data, epochs):
            looked_up.append(genotype)
            return made_up(None).evaluator(genotype, None, None)

    few, limited = Few(), goals(TWO, "parameters=700k")
    table = Table(Benchmark(), "cifar10", 200)
    for strategy in (NSGA2(6), SurrogateDescent(first=4, batch=2)):
        found = searched(strategy, few, table, limited, BudgetConfig(trials=12), seed=0)
        assert len(found) == 12 and all(score.values["parameters"] <= 7e5 for score in found)
    over = [each for each in every(few) if costs(few.genotype(each), {})["parameters"] > 7e5]
    assert over, "some architectures are over the limit"
    with pytest.raises(UserError, match="`limits`: each of the first 500 architectures exceeds one"):
        searched(NSGA2(6), few, table, goals(TWO, "parameters=1k"), BudgetConfig(trials=3), seed=0)
    with pytest.raises(UserError, match="`limits`: each of the first 500 architectures exceeds one"):
        searched(NSGA2(6), few, table, goals(TWO, "parameters=1k"), BudgetConfig(seconds=9.0), seed=0)
    with pytest.raises(UserError, match="`budget.seconds` is 0.5: the budget is too small for one query"):
        searched(NSGA2(6), few, table, limited, BudgetConfig(seconds=0.5), seed=0)


@pytest.mark.parametrize("space", ["darts", "nasbench201", "convnet"])
def test_costs_that_guide_a_search_are_those_of_the_trained_networks(space):
    config = BlackboxConfig(
        space=SearchSpaceConfig(name=space), objectives="accuracy,multiply_adds", limits="parameters=20k"
    )
    setting = Setting(config, tiny.data(), tiny.CPU, Path(), QUIET)
    decisions, counted, limited = setting.decisions(), setting.costs(), goals_of(config)
    for seed in range(5):
        point = decisions.sample(Random(seed))
        assert decisions.untrained(point) == limited.untrained(counted(decisions.genotype(point), {}))
    for name in ("latency=3", "memory=1M"):
        no_sum = replace(config, limits=name)
        setting = Setting(no_sum, tiny.data(), tiny.CPU, Path(), QUIET)
        assert setting.decisions().untrained(point) is None, "measured, or no sum: not known for thousands"


class Few(ArchitectureDecisions):
    """Architectures of NAS-Bench-201 in which two edges are decided: 25."""

    def __init__(self):
        super().__init__(DECISIONS.space)
        self.fixed = {f"cell/{row}": "skip_connect" for row in range(4)}

    def following(self, made):
        decision = super().following({**self.fixed, **made})
        return decision if decision is None or decision.name not in self.fixed else None

    def genotype(self, point):
        return super().genotype({**self.fixed, **point})
