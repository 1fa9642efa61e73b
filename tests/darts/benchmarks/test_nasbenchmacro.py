"""NAS-Bench-Macro's table, made up here; the facts of the real one where ``DATA_ROOT`` has it."""

import itertools
import os
from pathlib import Path
from statistics import mean, pstdev

import pytest
from rich.console import Console
from scipy.stats import spearmanr

import genotypes
from darts.benchmarks.nasbenchmacro import ARCHITECTURES, SEEDS, NASBenchMacro, architecture, digits
from darts.benchmarks.registry import benchmark_for
from darts.blackbox.evaluators.benchmark import lookup_problem
from darts.blackbox.run import run_replays
from darts.config import SearchSpaceConfig
from darts.config.blackbox import BlackboxConfig, BudgetConfig, LookupConfig
from darts.errors import UserError

HEADER = "arch,test_acc_1,test_acc_2,test_acc_3,params,flops"


def made_up():
    """The accuracy rises with the digits as a number in base 3."""
    for place, text in enumerate(map("".join, itertools.product("012", repeat=8))):
        accuracy = 50 + 40 * place / (ARCHITECTURES - 1)
        yield f"{text},{accuracy:.4f},{accuracy:.4f},{accuracy + 0.3:.4f},{1000 + place},{2000 + place}"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("macro") / "table.csv"
    path.write_text("\n".join([HEADER, *made_up()]) + "\n")
    return path


def test_queries_and_standings(table):
    benchmark = NASBenchMacro(table)
    best, worst = architecture("2" * 8), architecture("0" * 8)
    assert digits(best) == "2" * 8 and benchmark.best(2)[0] == best
    values = benchmark.query(best, "cifar10").values
    assert values["valid_accuracy"] == 0.9 and values["test_accuracy"] == pytest.approx(0.901)
    assert (values["parameters"], values["multiply_adds"]) == (7560, 8560)
    assert benchmark.figures(worst, "cifar10")["true_rank"] == ARCHITECTURES
    assert "rank 1 of 6,561, regret 0.00 %" in benchmark.summary(best, "cifar10")
    with pytest.raises(UserError, match="not an architecture of NAS-Bench-Macro"):
        benchmark.query(genotypes.load("DARTS_V2"), "cifar10")
    with pytest.raises(UserError, match="data mnist: NAS-Bench-Macro has cifar10"):
        benchmark.query(best, "mnist")
    with pytest.raises(UserError, match="write 8 digits"):
        architecture("0123")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("00000000", "0000x000", 1), "arch '0000x000'; it must be 8 digits"),
        (lambda text: text[: len(text) // 2], "damaged or cut short|architectures; all 6561 are needed"),
        (lambda text: text.replace("params", "weights"), "has no column params"),
        (lambda text: text.replace("50.0000", "none", 1), "no finite number in column test_acc_1 of 00000000"),
        (lambda text: "a,b\n1,2\n", "its first line has no column arch"),
        (lambda text: "", "its first line has no column arch"),
        (lambda text: "\x00\x80PK", "its first line has no column arch|not a readable CSV file"),
    ],
)
def test_other_files_are_no_tables(change, message, table, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text(change(table.read_text()))
    with pytest.raises(UserError, match=message) as raised:
        NASBenchMacro(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_a_strategy_searches_the_table(table):
    config = BlackboxConfig(
        evaluator="benchmark",
        space=SearchSpaceConfig(name="nasbenchmacro", channels=4),
        strategy="local_search",
        benchmark=LookupConfig(file=table),
        budget=BudgetConfig(trials=150),
        seeds=3,
    )
    replays = run_replays(config, lookup_problem(config), Console(quiet=True))
    assert replays.queries == [150] * 3 and min(replays.test["cifar10"]) == pytest.approx(0.901)


def test_a_space_without_a_table_is_refused(table):
    with pytest.raises(UserError, match="no table of space darts on cifar10; there is nasbench201 on"):
        benchmark_for(table, "darts", "cifar10")


@pytest.fixture(scope="module")
def real():
    path = Path(os.environ.get("DATA_ROOT", "-")) / "nasbenchmacro" / "nasbenchmacro.csv"
    if not path.is_file():
        pytest.skip("needs NAS-Bench-Macro's table: set DATA_ROOT")
    return NASBenchMacro(path)


def test_the_facts_of_the_real_table(real):
    accuracies = list(real.accuracies.values())
    assert (mean(accuracies), pstdev(accuracies)) == pytest.approx((90.25, 2.68), abs=0.005)
    assert min(accuracies) == pytest.approx(45.36, abs=0.005)
    best = real.best(2)
    assert {digits(genotype) for genotype in best} == {"22212220", "22212202"}
    assert 100 * real.standing(best[0], "cifar10").test_accuracy == pytest.approx(93.127, abs=5e-4)
    spreads = [pstdev([real.table.value(key, seed) for seed in SEEDS]) for key in real.table.keys]
    assert mean(spreads) == pytest.approx(0.151, abs=5e-4)


def test_costs_and_accuracies_of_the_real_table(real):
    for column, rho in (("flops", 0.748), ("params", 0.318)):
        costs = [real.table.value(key, column) for key in real.accuracies]
        assert spearmanr(costs, list(real.accuracies.values())).statistic == pytest.approx(rho, abs=5e-4)
    front, best = 0, -1.0
    for _, accuracy in sorted(
        ((real.table.value(key, "flops"), -accuracy) for key, accuracy in real.accuracies.items())
    ):
        if -accuracy > best:
            front, best = front + 1, -accuracy
    assert front == 35
