"""The real scripts as a user runs them: a process of their own, tiny budgets."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from darts.processes import SINGLE_PROCESS

ROOT = Path(__file__).parent.parent


def write_images(path, count=60, size=8, classes=3):
    """An .npz whose classes differ in brightness, so that something can be learnt."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    images = rng.integers(0, 80, (count, size, size), np.uint8) + (labels * 60).astype(np.uint8)[:, None, None]
    np.savez(path, images=images, labels=labels)


def start(script, *arguments, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(script, *arguments, cwd):
    """Exit code and all that was printed."""
    process = start(script, *arguments, cwd=cwd)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def said(script, *arguments):
    """Return what a script, given as a module, prints when it runs in this process; a mistake is raised."""
    console = Console(file=io.StringIO(), soft_wrap=True)
    script.main([str(argument) for argument in arguments], console, SINGLE_PROCESS)
    return console.file.getvalue()


def newest_step(folder):
    return max((int(path.stem.split("_")[1]) for path in (folder / "checkpoints").glob("step_*.pt")), default=0)


def stop_after(process, folder, step, number=signal.SIGKILL, delay=0.0):
    """Send a signal ``delay`` seconds after a checkpoint of this step is there. The exit code, and what was printed."""
    deadline = time.monotonic() + 120
    while process.poll() is None and newest_step(folder) < step and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(delay)
    assert process.poll() is None, process.communicate()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err
