"""Searches without gradients from end to end: budgets, resuming, failures, replays, and the files that they write."""

import json
import re
import sqlite3
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from rich.console import Console

import train_search
from darts.benchmarks.digits.table import Digits201
from darts.benchmarks.protocol import Score
from darts.blackbox import run
from darts.blackbox.evaluators import Problem, Setting, evaluator_of, problem_of
from darts.blackbox.evaluators.benchmark import lookup_problem
from darts.blackbox.run import require_options, run_replays, run_study, write_study
from darts.blackbox.strategies import STRATEGIES
from darts.config import RunConfig, SearchSpaceConfig, WeightsConfig, check
from darts.config.blackbox import BlackboxConfig, BudgetConfig, LookupConfig
from darts.errors import UserError
from darts.recipes import BLACKBOX_RECIPES
from darts.training.loop import Interrupted
from genotypes import load
from genotypes.types.nasbench201 import from_string
from supernet.errors import SpaceError
from tests import scripts, tiny
from tests.darts.benchmarks.test_nasbench201 import table  # noqa: F401

QUIET = Console(quiet=True)


def looked_up(path, trials=12, **options):
    """A search in a made-up table."""
    settings = dict(space=SearchSpaceConfig(name="nasbench201"), strategy="evolution:population=4,sample=2", seed=3)
    settings |= options
    benchmark = LookupConfig(file=path)
    budget = settings.pop("budget", BudgetConfig(trials=trials))
    return BlackboxConfig(evaluator="benchmark", benchmark=benchmark, budget=budget, **settings)


def trials_of(folder):
    """The trials without the time that they have taken."""
    rows = json.loads((folder / "trials.json").read_text())
    return [{name: value for name, value in row.items() if name != "cpu_seconds"} for row in rows]


def searched(config, folder, problem=None):
    problem = problem or lookup_problem(config)
    write_study(config, run_study(config, problem, folder, QUIET), folder, problem.truth)
    return trials_of(folder)


def test_the_true_standing_is_written(tmp_path):
    benchmark = LookupConfig(name="digits201", data="digits201")
    config = BlackboxConfig(
        space=SearchSpaceConfig(name="nasbench201"),
        evaluator="benchmark",
        benchmark=benchmark,
        budget=BudgetConfig(trials=3, epochs=2),
    )
    searched(config, tmp_path)
    figures = json.loads((tmp_path / "metrics.json").read_text())
    standing = Digits201().standing(from_string(figures["genotype"]))
    assert figures["true_rank"] == standing.rank and figures["true_test_accuracy"] == standing.test_accuracy
    assert figures["test_accuracy"] != figures["true_test_accuracy"]  # after 2 epochs


def test_a_search_in_parts_is_a_whole_one(tmp_path, table):  # noqa: F811
    whole = searched(looked_up(table, 12), tmp_path / "whole")
    assert len(whole) == 12 and {row["state"] for row in whole} == {"complete"}
    for trials in (5, 6, 12):
        parts = searched(looked_up(table, trials), tmp_path / "parts")
        assert parts == whole[:trials]
    best = max(whole, key=lambda row: row["value"])
    assert load(tmp_path / "whole").hash == best["hash"]
    metrics = json.loads((tmp_path / "whole" / "metrics.json").read_text())
    assert metrics["valid_accuracy"] == best["value"] and metrics["trials"] == 12


class Stopping:
    """An evaluator that is interrupted in one trial, the first time, and fails in another."""

    def __init__(self, problem, stop, fail=None):
        self.problem, self.stop, self.fail = problem, stop, fail

    def __call__(self, genotype, budget, trial):
        number = int(trial.folder.name)
        if number == self.stop:
            self.stop = None
            raise KeyboardInterrupt
        if number == self.fail:
            raise MemoryError("no memory for this one")
        return self.problem.evaluator(genotype, budget, trial)


def test_an_interrupted_trial_is_continued_under_its_number(tmp_path, table):  # noqa: F811
    config = looked_up(table, 9)
    whole = searched(config, tmp_path / "whole")
    problem = lookup_problem(config)
    stopping = Problem(problem.decisions, Stopping(problem, stop=4))
    with pytest.raises(KeyboardInterrupt):
        run_study(config, stopping, tmp_path / "parts", QUIET)
    assert searched(config, tmp_path / "parts", stopping) == whole


def test_a_failed_trial_is_recorded_and_the_search_goes_on(tmp_path, table):  # noqa: F811
    config = looked_up(table, 8)
    problem = lookup_problem(config)
    rows = searched(config, tmp_path, Problem(problem.decisions, Stopping(problem, stop=None, fail=2)))
    assert [row["state"] for row in rows] == ["complete"] * 2 + ["fail"] + ["complete"] * 5
    assert rows[2]["reason"] == "no memory for this one"


def test_nothing_completed_is_said(tmp_path, table):  # noqa: F811
    config = looked_up(table, 1)
    problem = lookup_problem(config)
    with pytest.raises(UserError, match="none of 1 trials was completed; the last failed: no memory"):
        searched(config, tmp_path, Problem(problem.decisions, Stopping(problem, stop=None, fail=0)))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (dict(seed=4), "seed"),
        (dict(strategy="random"), "strategy"),
        (dict(train_share=0.7), "train_share"),
        (dict(run=RunConfig(precision="bfloat16")), "run.precision"),
    ],
)
def test_a_study_of_other_settings_is_refused(tmp_path, table, change, field):  # noqa: F811
    searched(looked_up(table, 2), tmp_path)
    with pytest.raises(UserError, match=rf"study.db: made with `{field}` .*; choose another `run.name`"):
        searched(looked_up(table, 3, **change), tmp_path)
    assert len(trials_of(tmp_path)) == 2
    assert len(searched(looked_up(table, 3, run=RunConfig(device="cpu", max_hours=1.0)), tmp_path)) == 3


def test_a_search_without_time_for_a_trial_says_how_to_continue(tmp_path, table):  # noqa: F811
    config = looked_up(table, 3, run=RunConfig(max_hours=1e-9))
    with pytest.raises(UserError, match="none of 0 trials was completed; continue with `run.resume`"):
        searched(config, tmp_path)
    assert len(searched(looked_up(table, 3), tmp_path)) == 3


def test_a_file_that_is_no_study_is_refused(tmp_path, table):  # noqa: F811
    (tmp_path / "study.db").write_text("nothing of that kind, " * 100)
    with pytest.raises(UserError, match="study.db: not the study of a search"):
        searched(looked_up(table, 2), tmp_path)


def test_seconds_end_a_search(tmp_path, table):  # noqa: F811
    class Slow:
        def __call__(self, genotype, budget, trial):
            return Score({"valid_accuracy": 0.5}, seconds=10.0)

    config = looked_up(table, budget=BudgetConfig(seconds=35.0))
    rows = searched(config, tmp_path, Problem(lookup_problem(config).decisions, Slow()))
    assert len(rows) == 4


def test_replays_ask_for_the_points_of_a_study(tmp_path, table):  # noqa: F811
    config = looked_up(table, 10, seeds=2)
    replays = run_replays(config, lookup_problem(config), QUIET)
    assert replays.queries == [10, 10]
    for seed, accuracy in zip((3, 4), replays.test["cifar10"]):
        folder = tmp_path / str(seed)
        searched(looked_up(table, 10, seed=seed), folder)
        assert json.loads((folder / "metrics.json").read_text())["test_accuracy"] == pytest.approx(accuracy, abs=2e-2)
    assert next(iter(replays.lines())) == "2 searches, 10.0 queries each"


@pytest.mark.parametrize("strategy", ["random", "local_search", "genetic:population=2,elite=0", "reinforce", "tpe"])
def test_architectures_are_trained(tmp_path, strategy):
    config = BlackboxConfig(
        space=SearchSpaceConfig(channels=2, layers=3),
        strategy=strategy,
        budget=BudgetConfig(trials=3, epochs=1),
        weights=WeightsConfig(lr_min=0.0),
        batch_size=8,
    )
    problem = problem_of(config, lambda: Setting(config, tiny.data(), tiny.CPU, tmp_path, QUIET))
    rows = searched(config, tmp_path, problem)
    assert len(rows) == 3
    for row in rows:
        assert 0 <= row["value"] <= 1 and row["values"]["valid_accuracy"] == row["value"] and row["seconds"] > 0
        space = problem.decisions.space
        network = space.network(load(row["genotype"]))
        assert row["values"]["parameters"] == sum(p.numel() for p in network.parameters())


def test_every_strategy_has_a_recipe_for_every_task():
    """Optuna's samplers have a name that says what they are."""
    named = {make().strategy.partition(":")[0] for make in BLACKBOX_RECIPES.values()}
    assert set(STRATEGIES) <= named and {"tpe", "gp"} <= named


@pytest.mark.parametrize("name", BLACKBOX_RECIPES)
def test_recipes_are_complete(name):
    make, config = BLACKBOX_RECIPES[name], BLACKBOX_RECIPES[name]()
    assert config.recipe == name == make.__name__ and make.__doc__[0].isupper() and ".." not in make.__doc__
    assert config.data.name != "cifar10" or re.search(r"No number|[Pp]ublished|verify", make.__doc__)
    evaluator_of(config)
    if config.evaluator != "benchmark" or config.benchmark.name:
        check(config)
    else:
        with pytest.raises(UserError, match=r"`benchmark.file` is not given"):
            check(config)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (dict(budget=BudgetConfig()), "a search never ends without one: set `budget.trials`"),
        (dict(seeds=2), "several searches run on a benchmark only"),
        (dict(seeds=2, scheduler="asha"), "several searches replay a table, without `scheduler`"),
        (dict(train_share=1.0), "no examples to judge"),
        (dict(batch_size=1), "BatchNorm needs 2"),
        (dict(budget=BudgetConfig(trials=0)), "`budget.trials` is 0; it must be more than 0"),
        (dict(run=RunConfig(max_hours=5.5)), "`run.max_hours` is 5.5; .*: set `budget.seconds`"),
        (dict(run=RunConfig(max_steps=3)), "`run.max_steps` is 3; .*: set `budget.epochs`"),
        (dict(run=RunConfig(memory="8GB")), "`run.memory` is 8GB; a search without gradients does not follow it"),
        (dict(space=SearchSpaceConfig(partial=4)), "`space.partial` is 4"),
        (dict(latencies=Path("x.json")), "`latencies` is x.json, which nothing reads: set latency in `objectives` or"),
        (dict(benchmark=LookupConfig(file=Path("x.csv"))), "`evaluator` training looks nothing up"),
        (dict(benchmark=LookupConfig(name="digits201")), "`benchmark.name` is digits201, and `evaluator` training"),
    ],
)
def test_what_cannot_work_is_refused(change, reason):
    config = BlackboxConfig(budget=BudgetConfig(trials=2))
    with pytest.raises(UserError, match=reason):
        check(replace(config, **change))


def test_the_script_names_strategies_and_options(tmp_path, table, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    arguments = ["random_nasbench201", "--benchmark.file", table, "--budget.trials", 4]
    said = scripts.said(train_search, *arguments, "--name", "r")
    assert "trial    4/4" in said and "now type:" in said
    again = scripts.said(train_search, *arguments, "--name", "r", "--resume", "--budget.trials", 6)
    assert "trial    6/6" in again and "trial    4/" not in again
    for strategy, reason in (("annealing", "must be one of random, "), ("evolution:size=3", "has no option 'size'")):
        with pytest.raises(UserError, match=reason):
            scripts.said(train_search, *arguments, "--strategy", strategy)


def test_ctrl_c_says_that_complete_trials_are_saved(tmp_path, table, monkeypatch):  # noqa: F811
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "run_study", interrupt)
    with pytest.raises(Interrupted, match="stopped while it searched; the trials that are complete are saved") as stop:
        scripts.said(train_search, "random_nasbench201", "--benchmark.file", table, "--budget.trials", 4)
    assert stop.value.code == 130


@pytest.mark.parametrize("number", ["9" * 400, "nan", "1e400"])
def test_a_number_that_is_none(number, tmp_path, table):  # noqa: F811
    with pytest.raises(UserError, match="`strategy` evolution:population=.*; it must be a whole number"):
        searched(looked_up(table, 2, strategy=f"evolution:population={number}"), tmp_path)


def test_a_storage_that_is_full_or_locked_is_one_line(tmp_path, table, monkeypatch):  # noqa: F811
    def refuse(*arguments):
        raise optuna.exceptions.StorageInternalError("of the commit") from sqlite3.OperationalError("disk is full")

    monkeypatch.setattr(optuna.study.Study, "set_user_attr", refuse)
    with pytest.raises(UserError, match=r"study.db: the storage is gone \(disk is full\); continue with `run.resume`"):
        searched(looked_up(table, 2), tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (dict(strategy="evolutoin"), "`strategy` is 'evolutoin'"),
        (dict(scheduler="asha:eta=1"), "eta is 1; it must be 2 or more"),
        (dict(stoppers=("medain",)), "medain"),
        (dict(limits="parameters=many"), "not a positive quantity"),
    ],
)
def test_options_are_checked_before_anything_is_read(change, reason):
    with pytest.raises((UserError, SpaceError), match=reason):
        require_options(BlackboxConfig(budget=BudgetConfig(trials=2), **change))
