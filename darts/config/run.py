"""Where and how a run computes: device, precision, checkpoints, limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from darts.config.fields import Resume
from darts.config.ranges import NOT_NEGATIVE, POSITIVE


@dataclass(frozen=True)
class RunConfig:
    """Where and how a run computes. Only the device and the precision change the results."""

    name: Annotated[str | None, Resume.FREE] = None
    """Folder of this run within --runs; by default named by recipe and seed."""
    runs: Annotated[Path, Resume.FREE] = Path("runs")
    """Folder of all runs."""
    resume: Annotated[bool, Resume.FREE] = False
    """Resume this run from its newest checkpoint; start it where there is none."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 computes convolutions and matrix products in 16 bits (autocast)."""
    channels_last: bool = True
    """Memory format of images."""
    deterministic: bool = True
    """Use PyTorch's deterministic algorithms, so that a seed gives the same run again."""
    report_every: Annotated[int, POSITIVE, Resume.FREE] = 50
    """Steps between two lines of the log."""
    checkpoint_minutes: Annotated[float, NOT_NEGATIVE, Resume.FREE] = 10.0
    """Longest time between two checkpoints; every epoch ends with one in any case."""
    keep_checkpoints: Annotated[int, POSITIVE, Resume.FREE] = 2
    """How many of the newest checkpoints are kept."""
    max_steps: Annotated[int | None, POSITIVE, Resume.FREE] = None
    """Stop after this number of steps."""
    max_hours: Annotated[float | None, POSITIVE, Resume.FREE] = None
    """Stop in time to have a checkpoint, an evaluation and the result within this number of hours."""
    on_nan: Annotated[Literal["stop", "rollback"], Resume.FREE] = "stop"
    """After a non-finite loss: stop, or return to the last good checkpoint with half the learning rate and another
    order of examples, at most three times."""
    memory: Annotated[str | None, Resume.FREE] = None
    """Memory that training may use, such as 8GB: batches are split into micro-batches that fit. BatchNorm then
    normalizes each micro-batch by itself."""
    sync_batchnorm: bool = False
    """Under torchrun, take BatchNorm's statistics over the images of all processes."""
    graph: Annotated[Literal["auto", "on", "off"], Resume.FREE] = "auto"
    """Capture the training step in a CUDA graph and replay it; the results are the same."""
