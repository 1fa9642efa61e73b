"""Checkpoints: everything that a run's next step depends on, written whole or not at all.

A file is written under another name, flushed to the disk, and renamed; so a file under its own name is complete. What
is read back is tensors and plain values only (``weights_only=True``), after its checksums.
"""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from darts.errors import UserError
from genotypes.atomic_write import write_atomically

FORMAT = "darts-checkpoint"
VERSION = 1


class CheckpointError(UserError):
    """A file that cannot be gone on from, and why."""


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values, atomically. Equal states give equal bytes."""
    buffer = io.BytesIO()
    torch.save(canonical({"format": FORMAT, "version": VERSION, **state}), buffer)
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> dict[str, Any]:
    """Read a file that ``save`` wrote; tensors come on the CPU.

    Raises:
        CheckpointError: where the file is torn, damaged, or something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        state = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(f"{path}: not a checkpoint of this project, but objects, which are not read") from None
    except Exception as error:
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: torn or no checkpoint ({reason})") from None
    if damaged:
        raise CheckpointError(f"{path}: damaged, its checksum differs ({damaged})")
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of this project")
    if state.get("version") != VERSION:
        raise CheckpointError(f"{path}: checkpoint version {state.get('version')}, this code reads {VERSION}")
    return state


def differing(state: Mapping[str, Any], kind: str, identity: Mapping[str, Any]) -> str | None:
    """Why a checkpoint is another run's, or ``None`` where it is this one's."""
    if state.get("kind") != kind:
        return f"it is of a {state.get('kind')}, not of a {kind}"
    theirs = state.get("identity", {})
    if not isinstance(theirs, Mapping):
        return "it does not say what it was made with"
    for key in {**theirs, **identity}:
        other, own = theirs.get(key), identity.get(key)
        if isinstance(other, torch.Tensor) or other != own:
            return f"it was made with {key} {_shown(other)}, not {_shown(own)}"
    return None


def _shown(value: Any) -> str:
    return " ".join(str(value).split())[:80]


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints of a run."""
    return sorted(folder.glob("step_*.pt"), reverse=True)


def path_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step stands."""
    return folder / f"step_{step:09d}.pt"


def canonical(tree: Any) -> Any:
    """The same values in objects of their own, so that what is written depends on nothing but the values."""
    if isinstance(tree, torch.Tensor):
        return tree.detach().cpu().clone(memory_format=torch.contiguous_format)
    if isinstance(tree, Mapping):
        return {canonical(key): canonical(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [canonical(item) for item in tree]
    return sys.intern(str(tree)) if isinstance(tree, str) else tree
