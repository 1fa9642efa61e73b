"""The functions for CPUs as a shared library: compiled once by the machine's C++ compiler, and kept in a cache.

The library needs nothing but the C++ runtime and OpenMP. OpenMP's functions are those of the copy that PyTorch has
loaded, so that both share one pool of threads.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

TYPES = (torch.float32, torch.float64)
"""Types that the functions compute in."""

SOURCES = Path(__file__).parent
COMPILERS = ("c++", "g++", "clang++")
"""Names that are looked for where the environment variable ``CXX`` names no compiler."""

FLAGS = ("-std=c++17", "-O2", "-march=native", "-fopenmp", "-fPIC", "-fno-math-errno", "-Wno-psabi")
LINKS = ((), ("-fopenmp",))
"""Options to link with, tried in order: without OpenMP, whose functions PyTorch has loaded; with the compiler's own."""

TIMEOUT = 600
"""Seconds after which a compiler is stopped."""


class NoFunctions(Exception):
    """Says why there are none on this machine."""


@cache
def library() -> ctypes.CDLL:
    """Return the library; compile it where the cache has none for this source, compiler and processor.

    Raises:
        NoFunctions: where there is no compiler, or it fails, or the cache cannot be written.
    """
    path = _path()
    if path.exists():
        try:
            return ctypes.CDLL(str(path))
        except OSError:  # damaged, or made for another system
            _verified().unlink(missing_ok=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="compiling-") as folder:
            print("compiling the fused functions for this processor, once: about 10 s", file=sys.stderr, flush=True)
            return _compiled(Path(folder), path)
    except OSError as error:
        reason = f"{path.parent} cannot be written ({error}); set XDG_CACHE_HOME to another folder"
        raise NoFunctions(reason) from None


@cache
def reason() -> str | None:
    """Return why there are no functions on this machine; ``None`` where there are. Compiles them if need be."""
    try:
        library()
    except NoFunctions as error:
        return str(error)
    return None


def is_verified() -> bool:
    """Return whether the library in the cache has been found to compute what it should."""
    return _verified().exists()


def keep_verified() -> None:
    """Note that it has, if the cache can be written."""
    with suppress(OSError):
        _verified().touch()


def _verified() -> Path:
    return _path().with_suffix(".verified")


def _compiled(folder: Path, path: Path) -> ctypes.CDLL:
    compiler, made, linked = _compiler(), folder / "functions.o", folder / "functions.so"
    _run([compiler, *FLAGS, "-c", str(SOURCES / "functions.cpp"), "-o", str(made)])
    error = ""
    for options in LINKS:
        _run([compiler, "-shared", *options, str(made), "-o", str(linked)])
        try:
            found = ctypes.CDLL(str(linked))
        except OSError as reason:
            error = f"the compiled library cannot be loaded ({reason})"
            continue
        os.replace(linked, path)  # by several processes at once, if need be: each has compiled the same
        return found
    raise NoFunctions(error)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoFunctions(f"the compiler {command[0]} cannot be run ({error})") from None
    if done.returncode:
        lines = done.stderr.splitlines()
        said = next((line for line in lines if "error" in line or "cannot find" in line), "it says nothing")
        raise NoFunctions(f"the compiler {command[0]} fails ({said[:200]})")


def _compiler() -> str:
    named = os.environ.get("CXX", "").strip()
    found = next(filter(None, map(shutil.which, [named] if named else COMPILERS)), None)
    if found is None:
        raise NoFunctions(f"there is no C++ compiler ({named or ', '.join(COMPILERS)})")
    return found


@cache
def _path() -> Path:
    """Return where the library is or will be: its name says of which source, compiler and processor it is."""
    compiler = _compiler()
    parts = [file.read_bytes() for file in sorted(SOURCES.glob("*.h")) + sorted(SOURCES.glob("*.cpp"))]
    parts += [repr((compiler, FLAGS, LINKS, platform.machine(), platform.libc_ver())).encode()]
    parts += [str((os.stat(compiler).st_mtime_ns, os.stat(compiler).st_size)).encode(), _processor()]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]
    return cache_folder() / f"functions-{key}.so"


def _processor() -> bytes:
    """Return what tells processors of different instruction sets apart."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return platform.processor().encode()
    return b"\n".join(sorted({line for line in lines if line.startswith((b"flags", b"Features", b"model name"))}))


def cache_folder() -> Path:
    """Return the folder of the cache, which may not be there yet."""
    base = os.environ.get("XDG_CACHE_HOME", "").strip()
    try:
        return (Path(base) if base else Path.home() / ".cache") / "darts-supernet"
    except RuntimeError:
        raise NoFunctions("there is no home folder to keep them in; set XDG_CACHE_HOME to a folder") from None
