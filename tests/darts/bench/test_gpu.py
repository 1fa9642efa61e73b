"""A session on a GPU, tried on a CPU: its stages, what they write, and that one that fails costs itself only."""

import json
import sys
from dataclasses import replace
from importlib.metadata import version

import pytest
import torch
from rich.console import Console

from darts.bench import gpu, gpu_stages
from darts.recipes.registry import SEARCH_RECIPES
from supernet.bench.machine import backends_on
from supernet.mixed.backends import BACKENDS, BackendRow

CPU = torch.device("cpu")


def test_stages_are_processes_and_end_with_the_budget(tmp_path, monkeypatch):
    now, commands = [0.0], []

    def run(command, seconds):
        commands.append((command, seconds))
        now[0] += 100.0
        return {"outcome": "done", "seconds": 100.0, "output": ""}

    monkeypatch.setattr(gpu.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(gpu, "_run", run)
    gpu.main(
        ["--out", str(tmp_path), "--budget", "330", "--authors", "authors", "--device", "cpu"], Console(quiet=True)
    )
    ended = json.loads((tmp_path / "session.json").read_text())
    assert list(ended) == list(gpu.SECONDS) and len(commands) == 4
    assert [row["outcome"] for row in ended.values()] == ["done"] * 4 + ["no time left"] * 3
    assert [seconds for _, seconds in commands] == [45, 120, 90, 30]


def test_the_time_stage_has_a_budget_of_its_own(tmp_path):
    command = gpu._command(gpu.GpuConfig(out=tmp_path, authors=tmp_path), "time", 100.0)
    assert command[command.index("--budget") + 1] == "80" and command[command.index("--authors") + 1] == str(tmp_path)
    assert "gpu" not in command and "tests.xml" in gpu._command(gpu.GpuConfig(), "tests", 9.0)[-1]


def test_a_stage_that_fails_or_hangs_is_reported(tmp_path):
    failed = gpu._run([sys.executable, "-c", "print('why'); raise SystemExit(3)"], 60.0)
    assert failed["outcome"] == "exit code 3" and failed["output"] == "why\n"
    hung = gpu._run([sys.executable, "-c", "import time; time.sleep(60)"], 1.0)
    assert hung["outcome"] == "out of time" and hung["seconds"] < 30


def test_errors_are_checked_and_an_exception_is_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_stages, "SIZES", ((4, (5, 4)),))
    gpu.main(["--stage", "check", "--out", str(tmp_path), "--device", "cpu"], Console(quiet=True))
    rows = json.loads((tmp_path / "check.json").read_text())
    layers = ["layers"] if "fused" in backends_on(CPU) else []
    assert [row["backend"] for row in rows] == [*reversed(backends_on(CPU)[1:]), *layers]
    assert all(row["passed"] and row["nodes"] < 1e-5 for row in rows)
    monkeypatch.setattr(gpu_stages, "backends_on", lambda device: ("reference", "batched"))

    def fails(source, x, gates):
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setitem(BACKENDS, "batched", BackendRow(fails))
    gpu_stages.check(tmp_path / "check.json", CPU, 2)
    (row,) = json.loads((tmp_path / "check.json").read_text())
    assert row["error"] == "RuntimeError: an illegal memory access was encountered"


@pytest.mark.parametrize("stage", ["environment", "losses", "profile"])
def test_stages_write_what_they_find(tmp_path, stage, monkeypatch):
    recipe = SEARCH_RECIPES["darts_v1_cifar10"]()
    small = replace(recipe, space=replace(recipe.space, channels=4, layers=3))
    monkeypatch.setitem(SEARCH_RECIPES, "darts_v1_cifar10", lambda: small)
    gpu_stages.STAGES[stage](tmp_path / "rows.json", CPU, 2)
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    match stage:
        case "environment":
            assert row["torch"] == version("torch") and row["copy_bytes_per_second"] > 1e6
        case "losses":
            assert len(row["losses"]) == 2 and not row["captured"]
        case "profile":
            assert row["launches"] > 1000 and row["kernels"][0]["us"] >= row["kernels"][1]["us"] > 0
