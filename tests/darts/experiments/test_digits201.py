"""Methods judged by the digits benchmark: one search, the command and its file, the table's own figures."""

import itertools
import json
from dataclasses import replace
from functools import partial

import pytest
from rich.console import Console

from darts.benchmarks import workers
from darts.benchmarks.digits.table import Digits201
from darts.errors import UserError
from darts.experiments import digits201, judged_search
from darts.experiments.digits201 import main, strategies
from darts.experiments.judged_search import UNIFORM, Job, config_of, judged
from darts.methods import METHODS
from darts.recipes.blackbox import RECIPES
from genotypes.types.nasbench201 import from_string

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def benchmark():
    return Digits201()


@pytest.mark.parametrize("method", ["gdas", UNIFORM])
def test_a_search_is_judged_after_every_epoch(method, benchmark):
    found = judged(Job(method, 0, epochs=2, ranked=20, ranked_every=1), benchmark)
    truth = benchmark.standing(from_string(found["genotype"]))
    assert found["accuracy"] == pytest.approx(100 * truth.test_accuracy, abs=1e-3) and found["rank"] == truth.rank
    assert len(found["by_epoch"]) == 2 and list(found["ranking"]) == ["1", "2"]
    assert all(-1 <= tau <= 1 for tau in found["ranking"].values())


@pytest.mark.parametrize("strategy", ["evolution", "bohb", "rsps"])
def test_a_search_without_gradients_is_judged_by_its_result(strategy, benchmark, monkeypatch):
    name = f"{strategy}_digits201"
    config = RECIPES[name]()
    spent = {"total_epochs": 50} if config.budget.total_epochs else {"trials": 10}
    config = replace(config, budget=replace(config.budget, **spent))
    monkeypatch.setitem(judged_search.WITHOUT_GRADIENTS, name, lambda: config)
    found = judged(Job(strategy, 0, epochs=1), benchmark)
    truth = benchmark.standing(from_string(found["genotype"]))
    assert found["rank"] == truth.rank < 15_000 and found["by_epoch"] == [] and found["ranking"] == {}


def test_every_method_has_a_search():
    for method in (*METHODS, UNIFORM):
        config = config_of(Job(method, 3))
        assert (config.data.name, config.benchmark.name, config.seed) == ("digits201", "digits201", 3)


def test_the_command_continues_its_file(tmp_path, monkeypatch, benchmark):
    asked = []

    def here(make, jobs, processes, stop):
        for job in jobs:
            asked.append((job.method, job.seed, job.ranked))
            yield job, judged(Job(job.method, job.seed, epochs=1, ranked=min(job.ranked, 5)), benchmark)

    monkeypatch.setattr(workers, "in_processes", here)
    out = tmp_path / "found.json"
    command = partial(main, console=QUIET)
    options = ["--methods", "gdas", UNIFORM, "--epochs", "1", "--ranked-seeds", "1", "--strategy-seeds", "2"]
    options += ["--latency-seeds", "0"]
    command([*options, "--seeds", "1", "--json", str(out)])
    command([*options, "--seeds", "2", "--json", str(out)])
    assert asked == [("gdas", 0, 500), (UNIFORM, 0, 500), ("gdas", 1, 0), (UNIFORM, 1, 0)]
    content = json.loads(out.read_text())
    assert {row["method"]: row["seeds"] for row in content["table"]} == {"gdas": 2, UNIFORM: 2}
    gdas = next(row for row in content["table"] if row["method"] == "gdas")
    mean = sum(row["accuracy"] for row in content["searches"] if row["method"] == "gdas") / 2
    assert gdas["accuracy"][0] == pytest.approx(mean, abs=1e-3)
    page = (tmp_path / "found.html").read_text()
    assert page.count("<circle") >= 4 and "the best architecture" in page and "local_search" in page
    with pytest.raises(UserError, match=r"found.json: made with .*; give another name"):
        command(["--epochs", "2", "--json", str(out)])
    with pytest.raises(UserError, match="--methods has 'hill_climbing'"):
        command(["--methods", "hill_climbing", "--json", str(out)])


def test_strategies_find_better_architectures_with_more_queries(benchmark):
    rows = strategies(benchmark, 5)
    for name in digits201.STRATEGY_ROWS:
        few, *_, many = (row for row in rows if row["strategy"] == name)
        assert few["queries"] < many["queries"] and many["rank"] < few["rank"]


def test_searches_find_most_of_the_pareto_set_of_accuracy_and_latency(benchmark):
    descended, climbed, evolved = itertools.islice(digits201.within_latencies(benchmark, 1, QUIET), 3)
    assert descended["strategy"].startswith("surrogate_descent") and 0.9 < descended["share"] < 1
    assert climbed["strategy"] == "pareto_local_search" and 0.9 < climbed["share"] < 1
    assert evolved["strategy"] == "nsga2:population=20" and 0.9 < evolved["share"] < 1
    assert not list(digits201.within_latencies(benchmark, 0, QUIET))
