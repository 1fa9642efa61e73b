"""Evaluators: a trial that is continued is scored as one that had the larger budget at once."""

import time

import pytest
import torch
from rich.console import Console

import genotypes
from darts.artifacts.checkpoint import load, newest_first
from darts.artifacts.log import read_log
from darts.benchmarks.protocol import Score
from darts.config import RetrainConfig, SpaceConfig
from darts.retraining.evaluator import Budget, Lookup, OutOfTime, Retraining, Trial
from tests import tiny

GENOTYPE = genotypes.load("DARTS_V2")


def weights(folder):
    return load(newest_first(folder / "checkpoints")[0])["task"]["network"]


def test_a_continued_trial_equals_one_of_the_larger_budget(tmp_path):
    config = RetrainConfig(space=SpaceConfig(2, 3), batch_size=8, epochs=3, auxiliary=0.0)
    scores = {}
    for name, budgets in (("at once", [3]), ("continued", [1, 2, 3])):
        for epochs in budgets:
            evaluate = Retraining(config, tiny.data(), tiny.CPU, Console(quiet=True))
            scores[name] = evaluate(GENOTYPE, Budget(epochs), Trial(tmp_path / name))
    assert scores["at once"].values == scores["continued"].values
    assert {"test_accuracy", "test_loss", "parameters"} <= set(scores["continued"].values)
    for name, tensor in weights(tmp_path / "at once").items():
        assert torch.equal(tensor, weights(tmp_path / "continued")[name])


def test_a_trial_that_runs_out_of_time_continues_from_where_it_was_stopped(tmp_path):
    config = RetrainConfig(space=SpaceConfig(2, 3), batch_size=8, epochs=2, auxiliary=0.0)
    evaluate = Retraining(config, tiny.data(), tiny.CPU, Console(quiet=True))
    whole = evaluate(GENOTYPE, Budget(2), Trial(tmp_path / "whole"))
    again = evaluate(GENOTYPE, Budget(2), Trial(tmp_path / "again"))
    assert again.values == whole.values, "a training does not depend on those before it"
    for deadline in (time.monotonic() + 1e-3, time.monotonic() - 1.0):
        with pytest.raises(OutOfTime):
            evaluate(GENOTYPE, Budget(2), Trial(tmp_path / "parts", deadline=deadline))
    stopped = read_log(tmp_path / "parts")[-1]["step"]
    assert 0 < stopped < read_log(tmp_path / "whole")[-1]["step"]
    assert evaluate(GENOTYPE, Budget(2), Trial(tmp_path / "parts")).values == whole.values


def test_a_score_can_be_looked_up(tmp_path):
    class Table:
        def query(self, genotype, data, epochs):
            return Score({"asked": (genotype.hash, data, epochs)})

    score = Lookup(Table(), "cifar10")(GENOTYPE, Budget(12), Trial(tmp_path))
    assert score == Score({"asked": (GENOTYPE.hash, "cifar10", 12)}, 0.0)
