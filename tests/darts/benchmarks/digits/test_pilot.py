"""The comparison of protocols: how well each tells architectures apart."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from darts.benchmarks.digits import pilot
from darts.benchmarks.digits.training import PROTOCOL, Training

PROTOCOLS = (replace(PROTOCOL, epochs=1), replace(PROTOCOL, epochs=1, seeds=(0, 1)))


def trainings_of(correct):
    """What stands in for the processes: architecture number ``i`` with a seed has ``correct(i, seed)`` images."""

    def trainings(make, jobs, processes, stop):
        names = list(dict.fromkeys(architecture for architecture, _ in jobs))
        for architecture, seed in jobs:
            yield None
            right = correct(names.index(architecture), seed)
            yield (
                (architecture, seed),
                Training(1.0, 2.0, (right,), (1.0 / (1 + right),), (right,), (1.0 / (1 + right),)),
            )

    return trainings


def compared(tmp_path, monkeypatch, correct):
    monkeypatch.setattr(pilot, "in_processes", trainings_of(correct))
    out = tmp_path / "pilot.json"
    pilot.pilot(out, count=40, processes=1, max_seconds=60, protocols=PROTOCOLS, console=Console(quiet=True))
    return json.loads(out.read_text())["protocols"]


def test_seeds_that_agree_have_tau_one(tmp_path, monkeypatch):
    for found in compared(tmp_path, monkeypatch, lambda index, seed: 10 * index + seed):
        for measured in (found["tau"], found["tau_loss"]):
            assert measured == pytest.approx({"all": 1.0, "half": 1.0, "quarter": 1.0, "tenth": 1.0})
        assert found["seconds"] == 1.0 and found["evaluation_seconds"] == 2.0
        assert found["quantiles"][0] < 1 and found["quantiles"][-1] == pytest.approx(100 * 391 / 997, abs=0.1)


def test_the_best_tenth_is_judged_by_itself(tmp_path, monkeypatch):
    found, _ = compared(
        tmp_path, monkeypatch, lambda index, seed: 10 * index if index < 36 else 500 + (index if seed else -index)
    )
    assert found["tau"]["tenth"] < 0 < found["tau"]["all"] < 1
