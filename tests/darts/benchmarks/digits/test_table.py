"""The benchmark's table: what it answers, and what is refused."""

import lzma
import shutil

import pytest

from darts.benchmarks.digits.classes import classes
from darts.benchmarks.digits.table import Digits201
from darts.benchmarks.digits.training import PROTOCOL, TEST_IMAGES
from darts.benchmarks.registry import benchmark_of
from darts.config import BenchmarkConfig
from darts.errors import UserError
from genotypes.types.nasbench201 import NASBench201Genotype, from_string
from tests.darts.benchmarks.digits.conftest import made_up

CONVOLUTIONS = NASBench201Genotype(("nor_conv_3x3",) * 6)


@pytest.fixture(scope="module")
def table(made_up_table):
    return Digits201(made_up_table)


def test_every_recorded_training_is_read_back(table):
    for name in list(table.places)[::500]:
        for seed in PROTOCOL.seeds:
            assert table.training(from_string(name), seed).test_loss == made_up(name, seed).test_loss
            assert table.training(from_string(name), seed).valid_correct == made_up(name, seed).valid_correct


def test_query_returns_means_over_seeds_and_the_costs_of_the_architecture(table):
    score = table.query(CONVOLUTIONS, "digits201", PROTOCOL.epochs)
    correct = 240 + 1 + PROTOCOL.epochs - 1
    assert score.values["valid_accuracy"] == pytest.approx(correct / 500)
    assert score.values["test_accuracy"] == pytest.approx(2 * correct / TEST_IMAGES)
    assert score.values["parameters"] == PROTOCOL.space.parameters(CONVOLUTIONS)
    assert score.values["latency_ms"] == 1.0 and score.seconds == 0.5
    assert table.query(CONVOLUTIONS, "digits201", 2).seconds == pytest.approx(0.5 * 2 / PROTOCOL.epochs)
    assert table.best(1) == [CONVOLUTIONS] and table.standing(CONVOLUTIONS).rank == 1
    assert table.figures(CONVOLUTIONS, "digits201")["true_regret"] == 0


def test_equal_cells_share_accuracies_and_keep_their_own_costs(table):
    members = max(classes().values(), key=len)
    assert len({table.standing(genotype) for genotype in members}) == 1
    assert len({table.query(genotype, "digits201").values["parameters"] for genotype in members}) > 1


def test_what_it_does_not_hold_is_refused(table):
    with pytest.raises(UserError, match="epochs 99: the digits benchmark has 1 to"):
        table.query(CONVOLUTIONS, "digits201", 99)
    with pytest.raises(UserError, match="data cifar10: the digits benchmark has digits201"):
        table.query(CONVOLUTIONS, "cifar10")
    with pytest.raises(UserError, match="seed 7"):
        table.training(CONVOLUTIONS, 7)


def test_a_damaged_table_is_one_line(made_up_table, tmp_path):
    folder = tmp_path / "table"
    shutil.copytree(made_up_table, folder)
    content = (folder / "trainings.csv.xz").read_bytes()
    (folder / "trainings.csv.xz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"trainings.csv.xz: damaged or cut short"):
        Digits201(folder)
    lines = lzma.decompress(content).splitlines(keepends=True)
    (folder / "trainings.csv.xz").write_bytes(lzma.compress(b"".join(lines[:-4])))
    with pytest.raises(UserError, match=r"trainings are missing"):
        Digits201(folder)
    (folder / "trainings.csv.xz").unlink()
    with pytest.raises(UserError, match=r"No such file"):
        Digits201(folder)


@pytest.mark.parametrize(
    ("config", "space", "data", "message"),
    [
        (BenchmarkConfig(name="digits"), "nasbench201", "digits201", "must be one of digits201"),
        (BenchmarkConfig(name="digits201"), "nasbench201", "digits", "covers space nasbench201 on digits201"),
        (BenchmarkConfig(name="digits201"), "darts", "digits201", "covers space nasbench201 on digits201"),
    ],
)
def test_a_benchmark_that_does_not_fit_is_refused(config, space, data, message):
    with pytest.raises(UserError, match=message):
        benchmark_of(config, space, data)
