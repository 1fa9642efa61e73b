"""Every strategy in every tiny space, and every evaluator: to the end, resumed bit for bit, retrained, checked."""

import json
import math
from dataclasses import replace
from random import Random

import optuna
import pytest
import torch
from optuna.trial import TrialState
from rich.console import Console

from darts.blackbox.evaluation import Plan
from darts.blackbox.evaluators import EVALUATORS, Setting, problem_of
from darts.blackbox.objectives import goals_of
from darts.blackbox.points import ArchitectureDecisions
from darts.blackbox.run import run_study, sampler_of, write_study
from darts.blackbox.samplers import OPTUNA, suggest
from darts.blackbox.strategies import STRATEGIES
from darts.blackbox.study import search
from darts.config import DataConfig, RetrainConfig, SearchSpaceConfig, SpaceConfig, WeightsConfig
from darts.config.blackbox import BlackboxConfig, BudgetConfig, LookupConfig
from darts.data.registry import open_data
from darts.errors import UserError
from darts.methods.compose import component
from darts.methods.space_factory import space_from
from darts.retraining.evaluator import Budget, Trial
from darts.retraining.fingerprint import fingerprint
from darts.retraining.task import RetrainTask
from genotypes import load
from tests import stories, tiny
from tests.darts.benchmarks.test_nasbench201 import table  # noqa: F401

QUIET = Console(quiet=True)
SPACES = {
    "darts": SearchSpaceConfig(name="darts", channels=2, layers=3, nodes=1),
    "nasbench201": SearchSpaceConfig(name="nasbench201", channels=2, layers=1),
    "convnet": SearchSpaceConfig(name="convnet", channels=2, layers=1),
    "vit": SearchSpaceConfig(name="vit", channels=4, layers=2),
    "nasbench101": SearchSpaceConfig(name="nasbench101", channels=8, layers=1),
}
QUICKER = {
    "evolution": "evolution:population=3,sample=2",
    "genetic": "genetic:population=3,elite=1",
    "enas": "enas:units=4,samples=2,updates=2",
    "bananas": "bananas:first=3,batch=2,steps=3,units=4,candidates=10",
    "nsga2": "nsga2:population=3",
    "surrogate_descent": "surrogate_descent:first=2,batch=2,steps=3",
}


def config_of(space, strategy="random", evaluator="training", trials=3, **options):
    return BlackboxConfig(
        space=SPACES[space],
        strategy=QUICKER.get(strategy, strategy),
        evaluator=evaluator,
        budget=BudgetConfig(trials=trials, epochs=1),
        batch_size=8,
        **options,
    )


def setting_of(config, folder):
    return Setting(config, tiny.data(), tiny.CPU, folder, QUIET)


def value_of(space, genotype):
    """The number of weights, as a share of a large number."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in space.network(genotype).parameters()) / 1e9


def decisions_of(space):
    return ArchitectureDecisions(space_from(config_of(space), shape=tiny.data().shape))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_searches_a_space_and_is_restored(name, space):
    decisions = decisions_of(space)
    strategy = component("`strategy`", STRATEGIES, QUICKER.get(name, name))
    asked = []
    for _ in range(2):
        search, points = strategy.start(decisions), []
        for number in range(8):
            points.append(search.ask(Random(f"0:{number}")))
            genotype = decisions.genotype(points[-1])
            picks = decisions.space.picks(genotype)
            assert decisions.space.valid(picks) is None and decisions.picks(points[-1]) == decisions.picks(
                decisions.point(picks)
            )
            search.tell(points[-1], None if number == 2 else value_of(decisions.space, genotype))
        asked.append(points)
    assert asked[0] == asked[1]


@pytest.mark.parametrize("space", ["darts", "nasbench201", "convnet"])
@pytest.mark.parametrize("name", OPTUNA)
def test_a_sampler_of_optuna_searches_a_space(name, space):
    decisions = decisions_of(space)
    study = optuna.create_study(direction="maximize", sampler=OPTUNA[name](0))
    for _ in range(11):
        trial = study.ask()
        study.tell(trial, value_of(decisions.space, decisions.genotype(suggest(trial, decisions))))


@pytest.mark.parametrize("name", OPTUNA)
def test_a_sampler_that_knows_no_constraints_is_told_which_points_are_no_architectures(name, tmp_path):
    """Many of NAS-Bench-101's matrices have too many edges: they are recorded, and not counted against the budget."""
    config = config_of("nasbench101", name, "proxy:parameters", trials=8)
    study = run_study(config, problem_of(config, lambda: setting_of(config, tmp_path)), tmp_path, QUIET)
    reasons = [trial.user_attrs.get("infeasible") for trial in study.trials]
    assert reasons.count(None) == 8 and any(reasons)
    assert all(reason.startswith("no architecture of the space: ") for reason in reasons if reason)
    write_study(config, study, tmp_path)
    assert load(tmp_path / "genotype.json").matrix


@pytest.mark.parametrize("space", ["darts", "nasbench201", "convnet", "vit"])
@pytest.mark.parametrize("evaluator", [name for name in EVALUATORS if name != "benchmark"] + ["training:folds=2"])
def test_an_evaluator_judges_the_network_of_the_genotype(tmp_path, evaluator, space):
    config = config_of(space, evaluator=evaluator)
    problem = problem_of(config, lambda: setting_of(config, tmp_path))
    genotype = problem.decisions.genotype(problem.decisions.sample(Random(1)))
    score = problem.evaluator(genotype, Budget(1), Trial(tmp_path / "0"))
    goal, *_ = goals_of(config).objectives
    assert math.isfinite(score.values["valid_accuracy" if goal == "accuracy" else goal])
    built = problem.decisions.space.network(genotype, searched=evaluator == "shared")
    assert score.values["parameters"] == sum(weight.numel() for weight in built.parameters())
    assert score.notes["network"] == fingerprint(built) and score.seconds > 0


FITTING = {"shared": ("darts", "nasbench201", "convnet"), "benchmark": ("nasbench201",)}
"""Evaluator -> the spaces that it can judge; all where it is not named."""

SAMPLERS = [*STRATEGIES, *OPTUNA]


@pytest.fixture(scope="module")
def judged(tmp_path_factory, table):  # noqa: F811
    """A function that returns the problem of a configuration, whose scores are computed once for all strategies."""
    problems = {}

    def problem(config):
        key = config.evaluator, config.space
        if key not in problems:
            folder = tmp_path_factory.mktemp("judged")
            found = problem_of(replace(config, strategy="random"), lambda: setting_of(config, folder))
            scores = {}

            def evaluator(genotype, budget, trial):
                if genotype not in scores:
                    scores[genotype] = found.evaluator(genotype, budget, Trial(folder / str(len(scores))))
                return scores[genotype]

            problems[key] = replace(found, evaluator=evaluator)
        return problems[key]

    return problem


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_strategy_searches_with_every_evaluator_and_continues(tmp_path, judged, table, name):  # noqa: F811
    """Every evaluator with every strategy, each pair in one of the spaces in turn; in two parts as at once."""
    rare = STRATEGIES[name].needs_shared_weights if name in STRATEGIES else False
    for place, evaluator in enumerate(EVALUATORS):
        spaces = FITTING.get(evaluator, tuple(SPACES))
        if rare and evaluator != "shared":
            continue
        space = spaces[(place + SAMPLERS.index(name)) % len(spaces)]
        config = config_of(space, name, evaluator, benchmark=LookupConfig(file=table))
        config = replace(config, budget=replace(config.budget, epochs=12 if evaluator == "benchmark" else 1))
        goals, problem = goals_of(config), judged(config)

        def searched(storage, trials, config=config, goals=goals, problem=problem):
            study = optuna.create_study(
                storage=storage,
                study_name="s",
                sampler=sampler_of(config, problem),
                directions=goals.directions,
                load_if_exists=True,
            )
            plan = Plan(replace(config.budget, trials=trials), goals=goals)
            search(study, problem.decisions, problem.evaluator, plan, tmp_path)
            return [(trial.params, trial.values, trial.state) for trial in study.trials]

        whole, parts = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()
        found = searched(whole, 3)
        assert {state for _, _, state in found} == {TrialState.COMPLETE}, (evaluator, space)
        assert sum(all(map(math.isfinite, values)) for _, values, _ in found) == 3, (evaluator, space)
        begun = searched(parts, 1)
        assert begun == found[: len(begun)] and searched(parts, 3) == found, (evaluator, space)


@pytest.mark.parametrize("space", ["darts", "nasbench201", "convnet"])
def test_a_result_retrains(tmp_path, space):
    config = config_of(space, "evolution", "proxy:nwot", trials=2)
    study = run_study(config, problem_of(config, lambda: setting_of(config, tmp_path)), tmp_path, QUIET)
    genotype = write_study(config, study, tmp_path)
    row = json.loads((tmp_path / "trials.json").read_text())[0]
    assert row["hash"] and len(row["notes"]["network"]) == 16 and row["values"]["parameters"] > 0
    size = SpaceConfig(2, config.space.layers, name=space)
    retrained = RetrainConfig(space=size, epochs=1, batch_size=8, auxiliary=0.0, drop_path=0.0)
    task = tiny.run(RetrainTask(retrained, load(tmp_path), tiny.data(), tiny.CPU))
    assert task.genotype.hash == genotype.hash and 0 <= task.tested["test_accuracy"] <= 1


@pytest.mark.parametrize("name", ["rsps", "enas", "evolution"])
def test_shared_weights_are_trained_first_and_searched_then(tmp_path, name):
    config = config_of("darts", name, "shared")
    problem = problem_of(config, lambda: setting_of(config, tmp_path))
    study = run_study(config, problem, tmp_path, QUIET)
    assert len(study.trials) == 3 and (problem.strategy is None) == (name != "enas")
    genotype = write_study(config, study, tmp_path)
    again = problem_of(config, lambda: setting_of(config, tmp_path))
    trial = Trial(tmp_path / "0")
    assert again.evaluator(genotype, Budget(1), trial).values == problem.evaluator(genotype, Budget(1), trial).values
    if name == "rsps":
        judged = problem_of(
            replace(config, evaluator=f"shared:run={tmp_path / 'supernet'}"), lambda: setting_of(config, tmp_path)
        )
        assert (
            judged.evaluator(genotype, Budget(1), trial).values
            == study.trials[study.best_trial.number].user_attrs["values"]
        )


def test_running_text_is_searched(tmp_path):
    stories.write_folder(tmp_path / "text", counts=(40, 30, 30))
    data = open_data(DataConfig("text", tmp_path / "text"), tiny.CPU, 0)
    space = SearchSpaceConfig(name="recurrent", channels=4, nodes=2)
    for evaluator in ("training", "shared"):
        config = replace(config_of("darts", evaluator=evaluator), space=space, weights=WeightsConfig(lr=0.1))
        setting = Setting(config, data, tiny.CPU, tmp_path / evaluator, QUIET)
        problem = problem_of(config, lambda opened=setting: opened)
        genotype = problem.decisions.genotype(problem.decisions.sample(Random(0)))
        score = problem.evaluator(genotype, Budget(1), Trial(tmp_path / evaluator / "0"))
        assert score.values["valid_loss"] > 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (dict(evaluator="oracle"), "`evaluator` is 'oracle'; it must be one of training, benchmark, shared"),
        (dict(evaluator="proxy:luck"), "`evaluator` is 'proxy:luck'; the proxies are grad_norm, snip"),
        (dict(evaluator="training:folds=0"), "folds is 0; it must be 1 or more"),
        (dict(evaluator="training:folds=40"), "32 examples into 40 folds; take at most 16"),
        (dict(evaluator="shared:statistics=none"), "statistics is 'none'; it must be one of batch, recalibrated"),
        (dict(evaluator="shared:run=nowhere"), "`evaluator` run is nowhere: it must be the run of a search"),
        (dict(strategy="rsps"), "`strategy` rsps judges architectures by shared weights: set `evaluator` to shared"),
        (dict(space="nasbench101", evaluator="shared"), "nasbench101, which has no supernet: take another `evaluator`"),
    ],
)
def test_what_cannot_be_judged_is_said(tmp_path, options, reason):
    config = config_of(**{"space": "darts", **options})
    with pytest.raises(UserError, match=reason):
        problem_of(config, lambda: setting_of(config, tmp_path))
