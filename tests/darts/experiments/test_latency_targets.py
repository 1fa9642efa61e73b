"""Searches within a latency, on a made-up table whose latencies are sums over candidates."""

import pytest
import torch
from rich.console import Console

from darts.benchmarks.protocol import Score
from darts.blackbox.evaluators.benchmark import CIFAR10_SHAPE
from darts.blackbox.points import ArchitectureDecisions
from darts.experiments import latency_targets
from darts.experiments.latency_targets import LatencyTargets, fitted_latency
from genotypes.types.nasbench201 import NASBENCH201_OPS
from supernet import architectures
from supernet.spaces.nasbench201 import NASBench201Space

SPACE = NASBench201Space(CIFAR10_SHAPE)
TIMES = dict(zip(NASBENCH201_OPS, (0.5, 0.75, 2.0, 3.0, 1.25)))


def latency(genotype):
    return 4.0 + sum(TIMES[op] * (1 + edge / 10) for edge, op in enumerate(genotype.ops))


def test_the_latencies_of_candidates_are_fitted():
    generator = torch.Generator().manual_seed(0)
    drawn = [architectures.sample(SPACE, generator) for _ in range(60)]
    cost = fitted_latency(SPACE, drawn, [latency(SPACE.derive(picks)) for picks in drawn])
    other = architectures.sample(SPACE, generator)
    assert cost.of(other) == pytest.approx(latency(SPACE.derive(other)))


class MadeUp:
    """The slower, the better."""

    def query(self, genotype, data, epochs):
        accuracy = latency(genotype) / 30
        return Score({"valid_accuracy": accuracy, "test_accuracy": accuracy, "latency_ms": latency(genotype)})


def test_searches_within_latencies(monkeypatch):
    monkeypatch.setattr(latency_targets, "QUERIES", 180)
    monkeypatch.setattr(latency_targets, "every_target", lambda low, high: [low + (high - low) / 2])
    monkeypatch.setattr(latency_targets, "ExactFront", Exact)
    rows = LatencyTargets(MadeUp(), ArchitectureDecisions(SPACE), "cifar10", Console(quiet=True)).rows(1)
    limits, gradients = (row for row in rows if row["kind"] in ("limits", "gradients"))
    for row in (limits, gradients):
        assert row["latency_ms"][0] <= row["targets_ms"][0] and row["monotone"] == 1
        assert row["shares"][0]["share"] > 0.8


