"""How much memory a step, an evaluation and a retraining will take, found out before hours are spent.

On a GPU the allocator's own peak is read. On a CPU the peak is that of the bytes of all tensors alive at once, on top
of what the process held before; working space inside the library's kernels is not seen. Both are measured on a few
images and on a few more: what grows with the images is the activations, the rest is weights and their gradients.
"""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from rich.console import Console
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from darts.artifacts.checkpoint import canonical
from darts.config.schema import Config
from darts.errors import UserError
from darts.oneshot.task import SearchTask
from darts.recipes.registry import FINAL_RECIPES, final_for
from darts.retraining.task import RetrainTask
from darts.training.evaluate import Tell
from darts.training.microbatch import BatchPartition

UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
SAMPLES = 2, 4
"""Images that a rehearsal computes."""


class Rehearsed(Protocol):
    """What can be rehearsed: a task of the training loop whose gradients a ``BatchPartition`` computes."""

    kind: str
    partition: BatchPartition

    def begin_epoch(self, epoch: int, step: int) -> None: ...
    def step(self) -> Mapping[str, Tensor]: ...
    def end_epoch(self, epoch: int, tell: Tell) -> dict[str, Any]: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Need:
    """Bytes that a pass takes: ``base`` and ``image`` for each image that is computed at once."""

    base: float
    image: float

    def of(self, images: int) -> float:
        return self.base + self.image * images


def parse_bytes(text: str) -> int:
    """``8GB`` as a number of bytes; GB is 10^9, GiB 2^30.

    Raises:
        UserError: where it is no such text.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B)\s*", text, re.IGNORECASE)
    if match is None or match[2].upper() not in UNITS or float(match[1]) == 0:
        raise UserError(f"--memory {text}: a number and a unit are needed, as 8GB or 512MiB")
    return int(float(match[1]) * UNITS[match[2].upper()])


def prepare(task: Rehearsed, config: Config, device: torch.device, console: Console) -> bool:
    """Before a run: on a GPU, and wherever ``--memory`` is given, rehearse it. Says whether it was rehearsed.

    Raises:
        UserError: where one image does not fit into ``--memory``.
    """
    task.partition.tell = lambda message: console.print(message, highlight=False)
    limit = parse_bytes(config.run.memory) if config.run.memory else None
    if limit is None and device.type != "cuda":
        return False
    if limit is not None and device.type == "cuda":
        there = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / there), device)
    rehearse(task, config.batch_size, device, limit, console)
    return True


def prepare_retraining(search: SearchTask, console: Console) -> None:
    """Before a search: rehearse the retraining of the largest genotype that can come out, by its own recipe.

    Only where the space knows which is the largest.
    """
    if not hasattr(search.space, "largest"):
        return
    config, device = search.config, search.problem.generator.device
    final = FINAL_RECIPES[final_for(config.space.name, config.data.name)]()
    final = replace(final, run=config.run)
    rehearse(
        RetrainTask(final, search.space.largest, search.data, device, search.ranks),
        final.batch_size,
        device,
        None,
        console,
    )


def rehearse(task: Rehearsed, batch_size: int, device: torch.device, limit: int | None, console: Console) -> None:
    """Take two steps and evaluate a batch on a few images; then say what a whole batch needs, and forget it all.

    With a limit, batches are divided into so many parts that a part fits. The task is left as it was.

    Args:
        batch_size: images a step, over all ranks.
        limit: bytes that this process may take.

    Raises:
        UserError: where one image does not fit.
    """
    ranks = task.partition.ranks
    mine = -(-batch_size // ranks.count)
    step, evaluation = needs(task, device)
    before = task.partition.parts
    if limit is not None:
        if step.of(1) > limit:
            raise UserError(f"--memory {amount(limit)}: a {task.kind} step needs {amount(step.of(1))} for one image")
        parts = next(parts for parts in range(1, mine + 1) if step.of(-(-mine // parts)) <= limit)
        (task.partition.parts,) = ranks.all_reduce_max([max(parts, before)])
    whole, part = mine, -(-mine // task.partition.parts)
    text = f"memory: {amount(step.of(part))} a {task.kind} step, {amount(evaluation.of(2 * part))} an evaluation"
    if part < whole:
        text += f"; in micro-batches of {part} images, {amount(step.of(whole))} without"
    console.print(f"{text} ({_measured(device)})", highlight=False)


def needs(task: Rehearsed, device: torch.device) -> tuple[Need, Need]:
    """What a step and an evaluation take, as a function of the images computed at once."""
    peaks = []
    saved, base = canonical(task.state()), _process_bytes()
    for images in SAMPLES:
        with _peak(device, base) as step, _sample(task.partition, images):
            for _ in range(2):
                task.begin_epoch(0, 0)  # an epoch may have one step only
                task.step()
        with _peak(device, base) as evaluation, _sample(task.partition, images):
            _evaluate_a_batch(task)
        task.load_state(saved)
        peaks.append((step[0], evaluation[0]))
    if device.type == "cuda":
        torch.cuda.empty_cache()
    few, more = SAMPLES
    slopes = [max(b - a, 0) / (more - few) for a, b in zip(*peaks)]
    return tuple(Need(peak - few * slope, slope) for peak, slope in zip(peaks[0], slopes))


@contextmanager
def _sample(partition: BatchPartition, images: int) -> Iterator[None]:
    partition.sample = images
    try:
        yield
    finally:
        partition.sample = None


class _Enough(Exception):
    """A batch was evaluated."""


def _evaluate_a_batch(task: Rehearsed) -> None:
    def stop(done: int, examples: int) -> None:
        raise _Enough

    with suppress(_Enough):
        task.end_epoch(0, stop)


@contextmanager
def _peak(device: torch.device, base: int) -> Iterator[list[int]]:
    """A list that afterwards holds the largest number of bytes in use meanwhile; on a CPU on top of ``base``."""
    found: list[int] = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield found
        found.append(torch.cuda.max_memory_allocated(device))
    else:
        with LiveTensors() as live:
            yield found
        found.append(base + live.peak)


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make while this mode is on, as long as they are alive.

    Attributes:
        peak: the largest number of bytes alive at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._total = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

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
            self._alive = {key: kept for key, kept in self._alive.items() if not kept[0].expired()}
            self._total = sum(size for _, size in self._alive.values())
            self.peak = max(self.peak, self._total)


def _process_bytes() -> int:
    """The largest size that this process had in memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _measured(device: torch.device) -> str:
    if device.type == "cuda":
        there = torch.cuda.get_device_properties(device).total_memory
        return f"of {amount(there)}; from {SAMPLES[0]} and {SAMPLES[1]} images"
    return f"process and tensors alive at once; from {SAMPLES[0]} and {SAMPLES[1]} images"


def amount(size: float) -> str:
    """Bytes for people."""
    return f"{size / 10**9:.2f} GB"
