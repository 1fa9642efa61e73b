"""Checkpoints: files of all that a run's next step depends on, written completely or not at all.

A file is written under another name, flushed to the disk, and renamed; so a file under its own name is complete. When
it is read, its checksums are verified, and only tensors and plain values are accepted (``weights_only=True``).
"""

from __future__ import annotations

import io
import pickle
import re
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from darts.errors import UserError
from genotypes.atomic_write import write_atomically
from genotypes.errors import first_line

FORMAT = "darts-checkpoint"
VERSION = 1


class CheckpointError(UserError):
    """A checkpoint cannot be resumed; the message names the file and the reason."""


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values, atomically. Equal states give equal bytes.

    Raises:
        OSError: naming the path, where it cannot be written.
    """
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
            compressed = _unpacks_to_more(archive, path.stat().st_size)
            damaged = None if compressed else archive.testzip()
        state = None if damaged or compressed else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(f"{path}: not a checkpoint of this project; contains pickled objects, refused") from None
    except Exception as error:
        reason = first_line(error, 100)
        raise CheckpointError(f"{path}: torn or no checkpoint ({reason})") from None
    if compressed:
        raise CheckpointError(f"{path}: not a checkpoint of this project; contains compressed data, refused")
    if damaged:
        raise CheckpointError(f"{path}: damaged, its checksum differs ({damaged})")
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of this project")
    version = state.get("version")
    if type(version) is not int or version != VERSION:
        raise CheckpointError(f"{path}: checkpoint version {_shown(version)}, this code reads {VERSION}")
    return state


def differing(state: Mapping[str, Any], kind: str, identity: Mapping[str, Any]) -> str | None:
    """Return why a checkpoint belongs to another run, or ``None`` where it belongs to this one.

    Args:
        kind: of this run, ``search`` or ``retrain``.
        identity: of this run, configuration field -> value.
    """
    if state.get("kind") != kind:
        return f"it is of a {_shown(state.get('kind'))}, not of a {kind}"
    theirs = state.get("identity")
    if not isinstance(theirs, Mapping):
        return "it does not say what it was made with"
    for key in {**theirs, **identity}:
        other, own = theirs.get(key), identity.get(key)
        own = list(own) if isinstance(own, tuple) else own
        if isinstance(other, torch.Tensor) or isinstance(other, bool) is not isinstance(own, bool) or other != own:
            return f"it was made with {key} {_shown(other)}, not {_shown(own)}"
    return None


def _unpacks_to_more(archive: zipfile.ZipFile, size: int) -> bool:
    """Return whether an archive's members have more bytes than its file; PyTorch stores tensors uncompressed."""
    members = archive.infolist()
    stored = all(each.compress_type == zipfile.ZIP_STORED for each in members)
    return not stored or sum(each.file_size for each in members) > size


def _shown(value: Any) -> str:
    return " ".join(str(value).split())[:140]


def newest_first(folder: Path) -> list[Path]:
    """Return the paths of a run's checkpoints, that of the latest step first."""
    found = [path for path in folder.glob("step_*.pt") if re.fullmatch(r"step_\d{9,}\.pt", path.name)]
    return sorted(found, key=lambda path: int(path.stem[5:]), reverse=True)


def newest_state(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return the newest checkpoint of a folder that can be read, and its content.

    Raises:
        CheckpointError: where there is none; of the newest where none can be read.
    """
    refused = None
    for path in newest_first(folder):
        try:
            return path, load(path)
        except CheckpointError as error:
            refused = refused or error
    raise refused or CheckpointError(f"{folder}: no checkpoint there")


def path_of(folder: Path, step: int) -> Path:
    """Return the path of the checkpoint of a step."""
    return folder / f"step_{step:09d}.pt"


def canonical(tree: Any) -> Any:
    """Return a copy in objects of its own, so that the bytes written depend on nothing but the values.

    Tensors come on the CPU, tuples become lists.
    """
    if isinstance(tree, torch.Tensor):
        return tree.detach().cpu().clone(memory_format=torch.contiguous_format)
    if isinstance(tree, Mapping):
        return {canonical(key): canonical(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [canonical(item) for item in tree]
    return sys.intern(str(tree)) if isinstance(tree, str) else tree
