"""The comparison of protocols: how well each tells architectures apart."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from darts.benchmarks import workers
from darts.benchmarks.digits import pilot
from darts.benchmarks.digits.command import main
from darts.benchmarks.digits.training import PROTOCOL, Training
from darts.errors import UserError

PROTOCOLS = (replace(PROTOCOL, epochs=1), replace(PROTOCOL, epochs=1, seeds=(0, 1)))


def trainings_of(correct):
    """What stands in for the processes: architecture number ``i`` with a seed has ``correct(i, seed)`` images."""

    def trainings(make, jobs, processes, stop):
        names = list(dict.fromkeys(architecture for stack in jobs for architecture, _ in stack))
        for stack in jobs:
            yield None
            right = [correct(names.index(architecture), seed) for architecture, seed in stack]
            yield stack, [Training(1.0, 2.0, (n,), (1.0 / (1 + n),), (n,), (1.0 / (1 + n),)) for n in right]

    return trainings


def compared(tmp_path, monkeypatch, correct):
    monkeypatch.setattr(workers, "in_processes", trainings_of(correct))
    out = tmp_path / "pilot.json"
    pilot.pilot(out, count=40, processes=1, max_seconds=60, protocols=PROTOCOLS, console=Console(quiet=True))
    return json.loads(out.read_text())["protocols"]


def test_seeds_that_agree_have_tau_one(tmp_path, monkeypatch):
    for found in compared(tmp_path, monkeypatch, lambda index, seed: 10 * index + seed):
        for measured in (found["tau"], found["tau_loss"]):
            assert measured == pytest.approx({"all": 1.0, "half": 1.0, "quarter": 1.0, "tenth": 1.0})
        assert found["seconds"] == 1.0 and found["evaluation_seconds"] == 2.0
        assert found["quantiles"][0] < 1 and found["quantiles"][-1] == pytest.approx(100 * 391 / 697, abs=0.1)


def test_the_best_tenth_is_judged_by_itself(tmp_path, monkeypatch):
    found, _ = compared(
        tmp_path, monkeypatch, lambda index, seed: 10 * index if index < 36 else 500 + (index if seed else -index)
    )
    assert found["tau"]["tenth"] < 0 < found["tau"]["all"] < 1


def test_the_widest_protocols_are_kept_and_the_one_whose_seeds_agree_best_is_recommended():
    def row(name, spread, tau):
        return {"protocol": name, "spread": spread, "tau": {"all": tau}}

    assert pilot.recommended([row("narrow", 19.9, 0.9), row("wide", 50.0, 0.4), row("enough", 20.0, 0.5)]) == "enough"
    assert pilot.recommended([row("narrow", 19.9, 0.9)]) is None


def test_protocols_in_the_file_are_not_trained_again(tmp_path, monkeypatch):
    first = compared(tmp_path, monkeypatch, lambda index, seed: 10 * index)
    again = compared(tmp_path, monkeypatch, lambda index, seed: 1 / 0)
    assert again == first and [each["protocol"]["seeds"] for each in again] == [[0, 1, 2], [0, 1]]
    with pytest.raises(UserError, match=r"pilot.json: made with `count` 40, not 41"):
        pilot.read_pilot(tmp_path / "pilot.json", 41)
    (tmp_path / "pilot.json").write_text('{"protocols": [{}]}')
    with pytest.raises(UserError, match=r"pilot.json: not a comparison of protocols"):
        pilot.read_pilot(tmp_path / "pilot.json", 40)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pilot", "--count", "19"], "`count` is 19; it must be from 20 to 5234"),
        (["build", "--processes", "0"], "`processes` is 0; it must be more than 0"),
        (["latency", "--max-seconds", "-1"], "`max_seconds` is -1.0; it must be more than 0"),
    ],
)
def test_options_out_of_range_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        main(arguments, Console(quiet=True))
