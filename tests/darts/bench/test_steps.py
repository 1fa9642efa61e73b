"""The benchmark from end to end, and its ratios."""

import json
from importlib.metadata import version

import pytest
import torch
from rich.console import Console

from darts.bench import contenders as bench
from darts.bench import steps
from darts.bench.contenders import BenchConfig, Contender
from darts.bench.steps import _floor, _row, main
from darts.errors import UserError


def test_measured_and_written(tmp_path):
    small = "--batch-size 2 --retrain-batch-size 0 --rounds 1 --warmup 1 --order first_order --backends batched"
    main([*small.split(), "--epoch", "1", "--json", str(tmp_path / "b.json"), "--device", "cpu"], Console(quiet=True))
    content = json.loads((tmp_path / "b.json").read_text())
    assert [row["step"] for row in content["steps"]] == ["first_order", "evaluation", "1 of first_order"]
    step, evaluation, _ = content["steps"]
    assert step["ms"] > evaluation["ms"] > 0 and step["bytes"] > 2 * evaluation["bytes"] > 0
    assert 0 < step["floor_share"] < 1
    assert content["machine"]["torch"] == version("torch") and content["settings"]["batch_size"] == 2


def test_all_of_a_gpus_contenders(monkeypatch):
    for name in ("search_task", "_stepping", "_evaluating"):
        monkeypatch.setattr(bench, name, lambda *given: None)
    monkeypatch.setattr(bench, "backends_on", lambda device: ("reference", "batched"))
    monkeypatch.setattr(bench, "_retrain", lambda *given: ways.append(given[-2:]))
    for given, count in ((None, 3), (("fused",), 1)):
        ways = []
        found = bench.contenders_of(BenchConfig(retrainings=given), torch.device("cuda"))
        for contender in found:
            contender.make()
        searched = [contender.code for contender in found if contender.what == "unrolled"]
        assert searched == ["reference", "batched, graph", "batched"]
        assert [contender.what for contender in found].count("evaluation") == 2
        assert len(ways) == 2 * count and ("on", "fused") in ways
        assert "fused, graph" in [contender.code for contender in found if contender.what == "retrain"]


def test_ratios():
    def contender(what, code, seconds):
        return Contender(what, code, 8, lambda: None, seconds)

    all_of = [contender("first_order", "authors", [4.0, 8.0, 9.0]), contender("first_order", "batched", [2.0])]
    all_of += [contender("unrolled", "batched", [5.0])]
    rows = [_row(each, all_of, BenchConfig(), (1e12, 1e12)) for each in all_of]
    assert rows[0]["ms"] == 8000 and rows[1]["speedup"] == 4.0 and rows[2]["first_order_steps"] == 2.5
    assert "speedup" not in rows[2] and rows[1]["images_per_second"] == 4.0


@pytest.mark.parametrize(("order", "passes"), [("first_order", 2), ("unrolled", 5)])
def test_the_floor_is_passes_of_traffic_or_arithmetic(order, passes):
    config = BenchConfig(batch_size=64, precision="bfloat16")
    traffic = _floor(order, config, (4.3e12, 1e15))
    assert traffic == pytest.approx(passes * 1.06e-3, rel=0.01)
    assert _floor(order, config, (1e15, 52e9)) == pytest.approx(passes, rel=0.01)


def test_on_a_gpu_the_fused_kernels_come_first_and_the_authors_code_next(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "backends_on", lambda device: ("reference", "batched", "fused"))
    found = bench.contenders_of(BenchConfig(authors=tmp_path), torch.device("cuda"))
    codes = [contender.code for contender in found]
    fused = sum(code.startswith("fused") for code in codes)
    assert fused == 7 and all(code.startswith("fused") for code in codes[:fused])
    assert codes[fused : fused + 3] == ["authors"] * 3 and "authors" not in codes[fused + 3 :]


def test_rows_are_written_as_they_come_and_a_failure_stops_only_itself(tmp_path, monkeypatch):
    file = tmp_path / "b.json"
    seen = []

    def step():
        seen.append(len(json.loads(file.read_text())["steps"]) if file.exists() else 0)

    def fails():
        raise RuntimeError("no kernel image\nand more")

    found = [Contender("first_order", "batched", 2, lambda: step), Contender("retrain", "fused", 2, lambda: fails)]
    monkeypatch.setattr(steps, "contenders_of", lambda config, device: found)
    given = f"--rounds 2 --warmup 1 --epoch 0 --device cpu --json {file}".split()
    with pytest.raises(UserError, match="retrain by fused: no kernel image$"):
        main(given, Console(quiet=True))
    assert seen == [0, 0, 1] and [row["code"] for row in json.loads(file.read_text())["steps"]] == ["batched"]


def test_nothing_is_started_after_the_budget(tmp_path, monkeypatch):
    now, taken = [0.0], []

    def step():
        taken.append(now[0])
        now[0] += 10.0

    monkeypatch.setattr(steps, "contenders_of", lambda config, device: [Contender("retrain", "x", 2, lambda: step)])
    monkeypatch.setattr(steps.time, "monotonic", lambda: now[0])
    main(["--rounds", "50", "--warmup", "1", "--epoch", "4", "--device", "cpu", "--budget", "45"], Console(quiet=True))
    assert taken == [0.0, 10.0, 20.0, 30.0, 40.0]
