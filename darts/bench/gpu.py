"""One session on a GPU: what runs, whether it is right, how fast it is, and where the time goes.

    python -m darts.bench gpu --out DIR --budget 570

The stages (``darts.bench.gpu_stages``) run one after the other, each in a process of its own with its share of the
time, so that one that fails, hangs or loses the device costs its own results only. Each writes its results as they
come; ``session.json`` says how each ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro
from rich.console import Console

from darts.artifacts.checkpoint import write_atomically
from darts.bench import gpu_stages
from darts.config import RunConfig
from darts.config.command_line import parse_options
from darts.training.device import choose_device

Stage = Literal["environment", "compile", "check", "losses", "time", "profile", "tests"]

SECONDS: dict[Stage, float] = {
    "environment": 45,
    "compile": 120,
    "check": 90,
    "losses": 110,
    "time": 150,
    "profile": 60,
    "tests": 150,
}
"""The most seconds that a stage is given."""

LEAST = 15.0
"""Seconds below which no further stage is started."""


@dataclass(frozen=True)
class GpuConfig:
    """Options of ``python -m darts.bench gpu``."""

    out: Path = Path("gpu_session")
    """Folder to write the results to."""
    budget: float = 570
    """Seconds for all stages together."""
    stages: tuple[Stage, ...] = get_args(Stage)
    """Stages to run."""
    batch_size: int = 64
    """Images per batch."""
    authors: Annotated[Path | None, tyro.conf.arg(aliases=["--peer"])] = None
    """A checkout of github.com/quark0/darts, timed beside ours."""
    device: str = "auto"
    """cuda, cuda:1, ...; on a CPU the stages that need no GPU run, for a trial."""
    stage: Stage | None = None
    """Run this stage in this process; the session does so for each."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Run a session, or one stage of it."""
    config = parse_options(GpuConfig(), arguments, "python -m darts.bench gpu", __doc__ or "")
    config.out.mkdir(parents=True, exist_ok=True)
    if config.stage is None:
        return _session(config, console)
    device = choose_device(RunConfig(device=config.device))
    gpu_stages.STAGES[config.stage](config.out / f"{config.stage}.json", device, config.batch_size)


def _session(config: GpuConfig, console: Console) -> None:
    """Run each stage in a process of its own while the budget lasts."""
    began, ended = time.monotonic(), {}
    for stage in config.stages:
        left = config.budget - (time.monotonic() - began)
        if left < LEAST:
            ended[stage] = {"outcome": "no time left"}
        else:
            ended[stage] = _run(_command(config, stage, min(SECONDS[stage], left)), min(SECONDS[stage], left))
        write_atomically(config.out / "session.json", (json.dumps(ended, indent=2) + "\n").encode())
        console.print(f"{stage}: {ended[stage]['outcome']} {ended[stage].get('output', '')[-400:]}", highlight=False)


def _command(config: GpuConfig, stage: Stage, seconds: float) -> list[str]:
    """Return the command of a stage."""
    out, common = config.out, ["--batch-size", str(config.batch_size), "--device", config.device]
    if stage == "tests":
        report = f"--junitxml={out / 'tests.xml'}"
        return [sys.executable, "-m", "pytest", "-m", "gpu", "-n", "8", "-q", "-p", "no:cacheprovider", report]
    command = [sys.executable, "-m", "darts.bench"]
    if stage == "time":
        command += ["--precision", "bfloat16", "--epoch", "0", "--retrain-batch-size", "0"]
        command += ["--json", str(out / "time.json")]
        command += ["--budget", f"{0.8 * seconds:.0f}", *(["--authors", str(config.authors)] if config.authors else [])]
        return [*command, *common]
    return [*command, "gpu", "--stage", stage, "--out", str(out), *common]


def _run(command: list[str], seconds: float) -> dict[str, Any]:
    """Run a command for at most so many seconds; return how it ended, its seconds and the end of its output."""
    began = time.monotonic()
    try:
        done = subprocess.run(command, timeout=seconds, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        outcome, output = "done" if done.returncode == 0 else f"exit code {done.returncode}", done.stdout
    except subprocess.TimeoutExpired as error:
        outcome, output = "out of time", (error.stdout or b"").decode(errors="replace")
    return {"outcome": outcome, "seconds": time.monotonic() - began, "output": output[-3000:]}
