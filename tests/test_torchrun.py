"""The real scripts under torchrun: a rank dies, all go on; then another number of processes does."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

import genotypes
from darts.artifacts.checkpoint import load, newest_first
from darts.artifacts.log import read_log
from tests import scripts

SIZE = ["--epochs", 2, "--batch-size", 6, "--report-every", 2, "--checkpoint-minutes", 0, "--sync-batchnorm"]
SEARCH = ["darts_npz", *SIZE, "--space.channels", 2, "--space.layers", 3, "--space.nodes", 1, "--name", "run"]


def torchrun(*arguments, cwd, restarts=0):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, "--max-restarts", restarts]
    command = [sys.executable, *launcher, scripts.ROOT / arguments[0], *arguments[1:]]
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ranks_of(launcher):
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(launcher.pid)], capture_output=True, text=True)
    return sorted(int(line) for line in children.stdout.split())


@pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks by ps")
def test_a_rank_dies_and_one_process_goes_on(tmp_path):
    scripts.write_images(tmp_path / "set.npz")
    search = ["train_search.py", *SEARCH, "--data.root", tmp_path / "set.npz"]
    code, _, err = scripts.run(*search, "--runs", tmp_path / "alone", cwd=tmp_path)
    assert code == 0, err

    folder = tmp_path / "together" / "run"
    launcher = torchrun(*search, "--runs", folder.parent, "--max-steps", 5, cwd=tmp_path, restarts=1)
    deadline = time.monotonic() + 120
    while scripts.newest_step(folder) < 2 and launcher.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(ranks_of(launcher)[-1], signal.SIGKILL)
    out, _ = launcher.communicate(timeout=200)
    assert launcher.returncode == 0, out
    assert "another rank is gone" in out and "Traceback" not in out
    assert out.count("resumes from") == 1 and out.count("now type:") == 1
    assert len(genotypes.load(folder).normal.nodes) == 1

    code, out, err = scripts.run(*search, "--runs", folder.parent, "--resume", cwd=tmp_path)
    assert code == 0 and "step 5" in out, err
    lines = [
        [line for line in read_log(run) if line["event"] == "epoch"] for run in (folder, tmp_path / "alone" / "run")
    ]
    for together, alone in zip(*lines, strict=True):
        assert together["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-3)
        assert together["genotype"] == alone["genotype"]
    states = [load(newest_first(run / "checkpoints")[0])["task"] for run in (folder, tmp_path / "alone" / "run")]
    for label, logit in states[0]["logits"].items():
        torch.testing.assert_close(logit, states[1]["logits"][label], rtol=0, atol=1e-4)


def test_a_mistake_is_said_once(tmp_path):
    launcher = torchrun("train_search.py", "--data.name", "cifar10", "--data.root", "absent", cwd=tmp_path)
    out, _ = launcher.communicate(timeout=200)
    assert launcher.returncode != 0
    assert out.count("error: --data.root absent: no such file or folder") == 1
    assert not (tmp_path / "runs").exists()
