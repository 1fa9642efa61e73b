"""A run that is killed again and again ends bit for bit where the uninterrupted run ends."""

import random
import signal

import pytest

from darts.artifacts.checkpoint import load, newest_first
from darts.artifacts.log import read_log
from tests import scripts
from tests.long import LONG_TESTS

SIZE = ["--epochs", 7 if LONG_TESTS else 4, "--batch-size", 6, "--report-every", 2, "--checkpoint-minutes", 0]
SEARCH = ["darts_npz", *SIZE, "--space.channels", 2, "--space.layers", 3, "--space.nodes", 2, "--name", "run"]
RETRAIN = ["darts_npz", "--genotype", "DARTS_V1", *SIZE, "--space.channels", 2, "--space.layers", 3, "--name", "run"]
CASES = {
    "search": ("train_search.py", SEARCH, ["genotype.json", "metrics.json", "cells.svg", "gates.svg"]),
    "second_order": ("train_search.py", [*SEARCH, "--method.step", "unrolled"], ["genotype.json", "metrics.json"]),
    "retrain": ("train_final.py", RETRAIN, ["genotype.json", "metrics.json", "cells.svg", "weights.pt"]),
}
SIGNALS = [*[signal.SIGKILL] * (5 if LONG_TESTS else 2), signal.SIGINT, signal.SIGTERM]


def timeless(folder):
    return [{k: v for k, v in line.items() if k not in ("seconds", "usage")} for line in read_log(folder)]


@pytest.mark.parametrize("case", CASES)
def test_killed_at_random_moments(case, tmp_path):
    script, arguments, files = CASES[case]
    scripts.write_images(tmp_path / "set.npz")
    arguments = [*arguments, "--data.root", tmp_path / "set.npz"]
    whole, killed = tmp_path / "whole" / "run", tmp_path / "killed" / "run"
    code, _, err = scripts.run(script, *arguments, "--runs", whole.parent, cwd=tmp_path)
    assert code == 0, err
    rng = random.Random(0)
    for number in SIGNALS if case == "search" or LONG_TESTS else SIGNALS[-3::2]:
        process = scripts.start(script, *arguments, "--runs", killed.parent, "--resume", cwd=tmp_path)
        step = scripts.newest_step(killed) + rng.randrange(1, 4)
        code, out, err = scripts.stop_after(process, killed, step, number, delay=rng.uniform(0, 0.05))
        if number == signal.SIGKILL:
            assert code == -number
        else:
            assert code == 128 + number and "Resume with: python" in out and "--resume" in out, (out, err)
        assert not (killed / "metrics.json").exists()
    code, out, err = scripts.run(script, *arguments, "--runs", killed.parent, "--resume", cwd=tmp_path)
    assert code == 0 and "resumes from" in out, err
    for name in files:
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
    last = [newest_first(folder / "checkpoints")[0] for folder in (whole, killed)]
    assert last[0].name == last[1].name and last[0].read_bytes() == last[1].read_bytes()
    assert timeless(whole) == timeless(killed)


def test_torn_and_foreign_checkpoints_give_way_to_the_one_before(tmp_path):
    script, arguments, files = CASES["search"]
    scripts.write_images(tmp_path / "set.npz")
    arguments = [*arguments, "--data.root", tmp_path / "set.npz", "--runs", tmp_path, "--keep-checkpoints", 4]
    code, _, err = scripts.run(script, *arguments, cwd=tmp_path)
    assert code == 0, err
    folder = tmp_path / "run"
    expected = {name: (folder / name).read_bytes() for name in files}
    torn, foreign, *_ = newest_first(folder / "checkpoints")
    torn.write_bytes(torn.read_bytes()[:1000])
    foreign.write_bytes(b"something else")
    code, out, err = scripts.run(script, *arguments, "--resume", cwd=tmp_path)
    assert code == 0, err
    assert out.count("refused") == 2 and torn.name in out and foreign.name in out
    assert {name: (folder / name).read_bytes() for name in files} == expected
    described = (folder / "config.json").read_bytes()
    code, _, err = scripts.run(script, *arguments, "--resume", "--seed", 7, cwd=tmp_path)
    assert code == 2 and "made with seed 2, not 7" in err and "no checkpoint can be resumed" in err
    assert (folder / "config.json").read_bytes() == described
    assert {name: (folder / name).read_bytes() for name in files} == expected


@pytest.mark.parametrize("cut", [6, 8])
def test_a_run_cut_short_resumes_or_ends_the_same(cut, tmp_path):
    script, arguments, files = CASES["search"]
    scripts.write_images(tmp_path / "set.npz")
    arguments = [*arguments, "--data.root", tmp_path / "set.npz", "--epochs", 4]
    ends = []
    for runs, steps in (("whole", [[]]), ("cut", [["--max-steps", cut]] * 2 + [[]])):
        made = []
        for budget in steps:
            code, _, err = scripts.run(script, *arguments, *budget, "--runs", runs, "--resume", cwd=tmp_path)
            assert code == 0, err
            made.append({name: (tmp_path / runs / "run" / name).read_bytes() for name in files})
        ends.append(made)
    assert ends[0][0] == ends[1][2]
    assert ends[1][0] == ends[1][1]
    assert ends[1][0] != ends[1][2]


def test_the_checkpoint_holds_the_alphas(tmp_path):
    script, arguments, _ = CASES["search"]
    scripts.write_images(tmp_path / "set.npz")
    arguments = [*arguments, "--data.root", tmp_path / "set.npz", "--runs", tmp_path, "--max-steps", 3]
    code, _, err = scripts.run(script, *arguments, cwd=tmp_path)
    assert code == 0, err
    state = load(newest_first(tmp_path / "run" / "checkpoints")[0])["task"]
    assert {label: tuple(logit.shape) for label, logit in state["logits"].items()} == {
        "normal": (5, 8),
        "reduce": (5, 8),
    }
    assert len(state["logits_optimizer"]["state"]) == 2 and state["weights_optimizer"]["state"]


def test_a_run_is_resumed_by_its_name_alone(tmp_path):
    """Recipe, options and genotype are the run's own, though the newest search has found another genotype."""
    scripts.write_images(tmp_path / "set.npz")
    size = ["--data.root", tmp_path / "set.npz", "--space.channels", 2, "--space.layers", 3, "--batch-size", 6]
    for name, seed in (("first", 0), ("second", 1)):
        searched = ["darts_npz", *size, "--epochs", 1, "--space.nodes", 2, "--seed", seed, "--name", name]
        assert scripts.run("train_search.py", *searched, "--max-steps", 2, cwd=tmp_path)[0] == 0
    retrained = ["darts_npz", *size, "--genotype", "runs/first", "--epochs", 2, "--report-every", 1]
    assert scripts.run("train_final.py", *retrained, "--name", "whole", cwd=tmp_path)[0] == 0
    often = ["--checkpoint-minutes", 0, "--name", "final"]
    process = scripts.start("train_final.py", *retrained, *often, cwd=tmp_path)
    scripts.stop_after(process, tmp_path / "runs" / "final", 1, signal.SIGKILL)
    for script, name in (("train_final.py", "final"), ("train_search.py", "first")):
        code, out, err = scripts.run(script, "--resume", "--name", name, cwd=tmp_path)
        assert code == 0 and "resumes from" in out, err
    whole, final = (load(newest_first(tmp_path / "runs" / name / "checkpoints")[0]) for name in ("whole", "final"))
    assert (tmp_path / "runs/final/weights.pt").read_bytes() == (tmp_path / "runs/whole/weights.pt").read_bytes()
    assert whole["position"] == final["position"]
