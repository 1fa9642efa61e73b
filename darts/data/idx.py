"""The IDX files of MNIST and Fashion-MNIST (LeCun et al. 1998), plain or compressed by gzip, in any usual folder.

A file holds two bytes of 0, the type (8: unsigned bytes), the number of dimensions, each dimension as a 32-bit integer
of the most significant byte first, and the values.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from darts.errors import UserError

FILES = ("train-images", "train-labels", "t10k-images", "t10k-labels")
"""Beginnings of the names of the four files."""

NAMES = ("{}-idx{}-ubyte", "{}.idx{}-ubyte")
"""The names of a file, by its beginning and its number of dimensions; a ``.gz`` may follow."""


def find_idx(root: Path, name: str) -> list[Path] | None:
    """Find the four files in a folder, or in torchvision's ``name/raw`` within it; None where one is missing."""
    for folder in (root / name / "raw", root / "raw", root / name, root):
        found = [_find(folder, file, 3 if "images" in file else 1) for file in FILES]
        paths = [path for path in found if path is not None]
        if len(paths) == len(FILES):
            return paths
    return None


def _find(folder: Path, file: str, dimensions: int) -> Path | None:
    names = [name.format(file, dimensions) for name in NAMES]
    paths = (folder / (name + end) for end in ("", ".gz") for name in names)
    return next((path for path in paths if path.is_file()), None)


def wanted_files() -> str:
    """Return the names of the four files, for a message."""
    names = [NAMES[0].format(file, 3 if "images" in file else 1) for file in FILES]
    return f"{', '.join(names)} (or .gz)"


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read the array of a file.

    Raises:
        UserError: naming the file that is no such file, damaged, or of another number of dimensions.
    """
    try:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: not readable ({str(error)[:80]}); download it again") from None
    head = 4 + 4 * dimensions
    if content[:4] != bytes((0, 0, 8, dimensions)) or len(content) < head:
        raise UserError(f"{path}: not an IDX file of {dimensions}-dimensional unsigned bytes; download it again")
    shape = [int.from_bytes(content[4 * k : 4 * k + 4], "big") for k in range(1, dimensions + 1)]
    values = np.frombuffer(content, np.uint8, offset=head)
    if values.size != np.prod(shape, dtype=object):
        raise UserError(f"{path}: {values.size} values instead of {'x'.join(map(str, shape))}; download it again")
    return values.reshape(shape).copy()
