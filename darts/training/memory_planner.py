"""The memory that a step and an evaluation will take, measured before hours are spent.

On a GPU the allocator's own peak is read. On a CPU the peak is that of the bytes of all tensors alive at once, on top
of the peak of the process before; workspace inside the library's kernels is not counted. Both are measured on two
examples and on four: what grows with the examples is the activations, the rest is weights and their gradients.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from rich.console import Console
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from darts.artifacts.checkpoint import canonical
from darts.artifacts.resource_usage import peak_process_bytes
from darts.config import Config
from darts.errors import UserError
from darts.training.evaluate import ReportProgress
from darts.training.microbatch import BatchPartition

UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
SAMPLES = (2, 4), (16, 32), (128, 256)
"""Pairs of numbers of examples that a rehearsal computes: the next pair where so few do not change a step's peak."""


class Rehearsed(Protocol):
    """A task of the training loop whose gradients a ``BatchPartition`` computes."""

    kind: str
    partition: BatchPartition

    def begin_epoch(self, epoch: int, step: int) -> None:
        """Prepare this step of this epoch."""

    def step(self) -> Mapping[str, Tensor]:
        """Take one step."""

    def end_epoch(self, epoch: int, report: ReportProgress) -> dict[str, Any]:
        """Evaluate; ``report`` is called after each batch."""

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go back to that state."""


@dataclass(frozen=True)
class Need:
    """Bytes that a pass takes: ``base``, and ``example`` for each example that is computed at once."""

    base: float
    example: float

    def of(self, examples: int) -> float:
        """Return the bytes of a pass over this many examples."""
        return self.base + self.example * examples


def parse_bytes(text: str) -> int:
    """Return ``8GB`` as a number of bytes; GB is 10^9, GiB 2^30.

    Raises:
        UserError: where the text is not a number and a unit.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B)\s*", text, re.IGNORECASE)
    if match is None or match[2].upper() not in UNITS or float(match[1]) == 0:
        raise UserError(f"`run.memory` is {text}; a number and a unit are needed, as 8GB or 512MiB")
    return int(float(match[1]) * UNITS[match[2].upper()])


def prepare(task: Rehearsed, config: Config, device: torch.device, console: Console) -> bool:
    """Rehearse a run on a GPU, and wherever ``run.memory`` is given; return whether it was rehearsed.

    Raises:
        UserError: where one example does not fit into ``run.memory``.
    """
    task.partition.listener = lambda message: console.print(message, highlight=False)
    limit = parse_bytes(config.run.memory) if config.run.memory else None
    if limit is None and device.type != "cuda":
        return False
    if limit is not None and device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), device)
    rehearse(task, batch_size=config.batch_size, device=device, limit=limit, console=console)
    return True


def rehearse(task: Rehearsed, *, batch_size: int, device: torch.device, limit: int | None, console: Console) -> None:
    """Take two steps and evaluate a batch on a few examples; print what a whole batch needs, and restore the task.

    With a limit, batches are divided into as many micro-batches as it takes for one to fit.

    Args:
        batch_size: examples of a step, over all ranks.
        limit: bytes that this process may take, or ``None``.

    Raises:
        UserError: where one example does not fit.
    """
    partition = task.partition
    shard = -(-batch_size // partition.ranks.count)
    step, evaluation = needs(task, device)
    if limit is not None:
        if step.of(1) > limit:
            needed = f"a {task.kind} step needs {amount(step.of(1))} for one example"
            raise UserError(f"`run.memory` is {amount(limit)}; {needed}")
        counts = range(1, shard + 1)
        count = next((count for count in counts if step.of(-(-shard // count)) <= limit), shard)
        (partition.micro_batches,) = partition.ranks.all_reduce_max([max(count, partition.micro_batches)])
    part = -(-shard // partition.micro_batches)
    text = f"memory: {amount(step.of(part))} a {task.kind} step, {amount(evaluation.of(2 * part))} an evaluation"
    if part < shard:
        text += f"; in micro-batches of {part} examples, {amount(step.of(shard))} without"
    console.print(f"{text} ({_measured(device)})", highlight=False)


def needs(task: Rehearsed, device: torch.device) -> tuple[Need, Need]:
    """Return the bytes of a step and of an evaluation, as functions of the examples computed at once."""
    saved, base = canonical(task.state()), peak_process_bytes()
    # One count for all: what the first step leaves, such as the momentum, is alive in every later one.
    with nullcontext() if device.type == "cuda" else LiveTensors() as live:
        for few, more in SAMPLES:
            peaks = []
            for examples in (few, more):
                with _peak(device, base, live) as step, _sample(task.partition, examples):
                    for _ in range(2):
                        task.begin_epoch(0, 0)  # an epoch may have one step only
                        task.step()
                with _peak(device, base, live) as evaluation, _sample(task.partition, examples):
                    _evaluate_a_batch(task)
                task.load_state(saved)
                peaks.append((step[0], evaluation[0]))
            if peaks[0][0] < peaks[1][0]:
                break
    if device.type == "cuda":
        torch.cuda.empty_cache()
    slopes = [max(b - a, 0) / (more - few) for a, b in zip(*peaks)]
    step_need, evaluation_need = (Need(peak - few * slope, slope) for peak, slope in zip(peaks[0], slopes))
    return step_need, evaluation_need


@contextmanager
def _sample(partition: BatchPartition, examples: int) -> Iterator[None]:
    partition.sample = examples
    try:
        yield
    finally:
        partition.sample = None


class _FirstBatchDone(Exception):
    """A batch was evaluated: the evaluation is ended."""


def _evaluate_a_batch(task: Rehearsed) -> None:
    def stop(done: int, batches: int) -> None:
        raise _FirstBatchDone

    with suppress(_FirstBatchDone):
        task.end_epoch(0, stop)


@contextmanager
def _peak(device: torch.device, base: int, live: LiveTensors | None) -> Iterator[list[int]]:
    """Yield a list that then holds the peak of the bytes in use meanwhile: on a CPU ``live`` on top of ``base``."""
    found: list[int] = []
    if live is None:
        torch.cuda.reset_peak_memory_stats(device)
        yield found
        found.append(torch.cuda.max_memory_allocated(device))
    else:
        live.restart()
        yield found
        found.append(base + live.peak)


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of the tensors that operations create while this mode is on, as long as they are alive.

    Attributes:
        peak: the largest number of bytes alive at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._total = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def restart(self) -> None:
        """Begin a new peak with the tensors that are alive now."""
        self._recount()
        self.peak = self._total

    def __torch_dispatch__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in given:
                self._note(leaf.untyped_storage())
        return out

    def _note(self, storage: torch.UntypedStorage) -> None:
        known = self._alive.get(storage._cdata)
        if known is not None:
            if not known[0].expired():
                return
            self._total -= known[1]
        self._alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._total += storage.nbytes()
        if self._total > self.peak:
            self._recount()
            self.peak = max(self.peak, self._total)

    def _recount(self) -> None:
        self._alive = {key: kept for key, kept in self._alive.items() if not kept[0].expired()}
        self._total = sum(size for _, size in self._alive.values())


def _measured(device: torch.device) -> str:
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        return f"of {amount(total)}; extrapolated from a few examples"
    return "process and tensors alive at once; extrapolated from a few examples"


def amount(size: float) -> str:
    """Return a number of bytes as text."""
    return f"{size / 10**9:.2f} GB"
