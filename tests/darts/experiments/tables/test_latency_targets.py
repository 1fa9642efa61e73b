"""Searches within a latency, on a made-up table whose latencies are sums over candidates."""

from rich.console import Console

from darts.benchmarks.protocol import Score
from darts.blackbox.evaluators.benchmark import CIFAR10_SHAPE
from darts.blackbox.points import ArchitectureDecisions
from darts.experiments.tables import latency_targets
from darts.experiments.tables.latency_targets import GOALS, LatencyTargets, front_rows
from genotypes.types.nasbench201 import NASBENCH201_OPS
from supernet.spaces.nasbench201 import NASBench201Space

SPACE = NASBench201Space(CIFAR10_SHAPE)
TIMES = dict(zip(NASBENCH201_OPS, (0.5, 0.75, 2.0, 3.0, 1.25)))


def latency(genotype):
    return 4.0 + sum(TIMES[op] * (1 + edge / 10) for edge, op in enumerate(genotype.ops))


class MadeUp:
    """The slower, the better."""

    lengths = (200,)

    def query(self, genotype, data, epochs):
        accuracy = latency(genotype) / 30
        return Score({"valid_accuracy": accuracy, "test_accuracy": accuracy, "latency_ms": latency(genotype)})


class Range:
    """In place of the exact front, which needs all architectures: its latencies, and no shares."""

    values = ((0.9, -24.0), (0.3, -8.0))

    def __init__(self, *arguments):
        pass

    def share(self, scores):
        return 1.0, 1


def test_what_is_found_within_each_latency_is_near_it(monkeypatch):
    monkeypatch.setattr(latency_targets, "ExactFront", Range)
    monkeypatch.setattr(latency_targets, "QUERIES", 200)
    monkeypatch.setattr(latency_targets, "TARGETS", 2)
    searches = LatencyTargets(MadeUp(), ArchitectureDecisions(SPACE), "cifar10", Console(quiet=True))
    limits = list(searches.rows(1))
    assert [row["strategy"] for row in limits] == list(latency_targets.LIMITED)
    for row in limits:
        assert row["monotone"] == 1 and row["targets_ms"] == [16.0, 24.0]
        assert all(0.8 * aim < found <= aim for aim, found in zip(row["targets_ms"], row["latency_ms"]))


def test_whole_fronts_have_a_row_for_each_strategy(monkeypatch):
    monkeypatch.setattr(latency_targets, "QUERIES", 40)
    rows = list(front_rows(MadeUp(), ArchitectureDecisions(SPACE), "cifar10", GOALS, 2, Console(quiet=True)))
    *found, most = rows
    assert [row["strategy"] for row in found] == list(latency_targets.STRATEGIES)
    assert most["share"] == 1 and most["points"] > 100  # validation and test agree, and the slower is the better
    for row in found:
        assert 0.5 < row["least"] <= row["share"] < 1 and row["share_by_validation"] == row["share"]
