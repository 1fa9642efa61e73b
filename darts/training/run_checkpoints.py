"""The checkpoints of one run: which are kept, which one is resumed, and what becomes of those that are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from darts.artifacts.checkpoint import CheckpointError, differing, load, newest_first, path_of, save

SET_ASIDE = ".set-aside"
"""Added to the name of a checkpoint that was refused: it is none of the run's checkpoints any more."""

STATE_ERRORS = (AttributeError, IndexError, KeyError, OverflowError, RuntimeError, TypeError, ValueError)
"""Errors of loading a state whose content is not that of this code's tasks."""


class RunCheckpoints:
    """The folder of a run's checkpoints.

    Args:
        folder: holds ``step_NNNNNNNNN.pt``; it is made by the first ``save``.
        kind: of the run, ``search`` or ``retrain``.
        identity: what determines the results of the run; a checkpoint of another identity is refused.
        keep: number of the newest checkpoints that stay.
    """

    def __init__(self, folder: Path, *, kind: str, identity: Mapping[str, Any], keep: int):
        self.folder, self.kind, self.identity, self.keep = folder, kind, dict(identity), keep
        self._refused: set[Path] = set()

    @property
    def newest(self) -> Path | None:
        """The newest checkpoint, if there is one."""
        return next(iter(newest_first(self.folder)), None)

    def save(self, step: int, content: Mapping[str, Any], also: int | None = None) -> None:
        """Write the checkpoint of a step, and delete the oldest ones beyond the quota.

        Args:
            content: ``position`` and ``task``.
            also: a step whose checkpoint is kept beyond the quota.
        """
        save(path_of(self.folder, step), {"kind": self.kind, "identity": self.identity, **content})
        kept_beside = None if also is None else path_of(self.folder, also)
        for old in newest_first(self.folder)[self.keep :]:
            if old != kept_beside:
                old.unlink(missing_ok=True)

    def restore(
        self, apply: Callable[[Mapping[str, Any]], None], console: Console, step: int | None = None
    ) -> Path | None:
        """Load the newest checkpoint that can be loaded; return its path, or ``None`` where there is none at all.

        Args:
            apply: takes over the content of a checkpoint; raises one of ``STATE_ERRORS`` where it does not fit.
            console: gets a line for each that is refused.
            step: the step of the checkpoint to load, where it is there.

        Raises:
            CheckpointError: where there are checkpoints and all are refused.
        """
        found = newest_first(self.folder)
        wanted = None if step is None else path_of(self.folder, step)
        refused: list[CheckpointError] = []
        for path in found[found.index(wanted) :] if wanted in found else found:
            try:
                self._apply(path, apply)
                return path
            except CheckpointError as error:
                console.print(f"refused: {error}", style="yellow", highlight=False, markup=False)
                refused.append(error)
                self._refused.add(path)
        if refused:
            advice = "give the options of the run, or start a new one by another `run.name`"
            raise CheckpointError(f"{refused[0]}; no checkpoint can be resumed: {advice}")
        return None

    def discard_later(self, restored: Path) -> None:
        """Remove the checkpoints beyond the one that was restored, as their steps will be computed again.

        Those that were refused are set aside under another name: they take no place in the quota any more. Those that
        were passed over are deleted.
        """
        for path in newest_first(self.folder):
            if path == restored:
                break
            if path in self._refused:
                path.replace(path.with_name(path.name + SET_ASIDE))
            else:
                path.unlink(missing_ok=True)

    def _apply(self, path: Path, apply: Callable[[Mapping[str, Any]], None]) -> None:
        state = load(path)
        reason = differing(state, self.kind, self.identity)
        if reason:
            raise CheckpointError(f"{path}: another run's checkpoint, {reason}")
        try:
            apply(state)
        except STATE_ERRORS as error:
            reason = " ".join(f"{type(error).__name__} {error}".split())[:160]
            raise CheckpointError(f"{path}: written by other code, its state does not fit ({reason})") from None

    def clear_temporary_files(self) -> None:
        """Delete what processes left behind that were killed while they wrote a checkpoint of this run."""
        for path in self.folder.glob(".step_*.pt.*"):
            if re.fullmatch(r"\.step_\d+\.pt\.\d+", path.name):
                path.unlink(missing_ok=True)


def holds_nan(state: Mapping[str, Any]) -> bool:
    """Return whether a tensor of the state holds NaN; an overflow (inf) shows in the loss before."""
    found = [tensor.isnan().any() for tensor in _tensors(state) if tensor.is_floating_point()]
    devices = {flag.device for flag in found}
    return any(bool(torch.stack([flag for flag in found if flag.device == device]).any()) for device in devices)


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _tensors(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _tensors(value)
