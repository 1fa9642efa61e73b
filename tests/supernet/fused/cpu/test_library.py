"""The C++ functions are compiled once and kept; where that is not possible, the reason is said."""

import os
import shutil
import stat

import pytest
import torch

from supernet.fused import verification
from supernet.fused.availability import unavailable
from supernet.fused.cpu import library
from supernet.mixed import backends
from supernet.mixed.graph import MixedGraph
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace

CPU = torch.device("cpu")
CACHED = (library.library, library.reason, library._path, verification._failure, backends._warn_once)


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """As in a new process whose cache is empty."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(library, "FLAGS", ("-O0", *(flag for flag in library.FLAGS if flag != "-O2")))
    for function in CACHED:
        function.cache_clear()
    yield tmp_path
    for function in CACHED:
        function.cache_clear()


def compiler(folder, script):
    """A program that is called as a compiler is."""
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.skipif(not any(map(shutil.which, library.COMPILERS)), reason="needs a C++ compiler")
def test_they_are_compiled_once(fresh, capfd, monkeypatch):
    assert not library._path().exists() and library.reason() is None and library._path().exists()
    assert "compiling the fused functions for this processor, once" in capfd.readouterr().err
    library.library.cache_clear()
    monkeypatch.setattr(library, "_run", lambda command: pytest.fail("compiled again"))
    assert library.library().convs_forward_float32 and not capfd.readouterr().err


@pytest.mark.skipif(not any(map(shutil.which, library.COMPILERS)), reason="needs a C++ compiler")
def test_a_damaged_library_is_compiled_anew(fresh):
    path = library._path()
    path.parent.mkdir()
    path.write_bytes(b"not a library")
    assert library.library().convs_forward_float32 and path.read_bytes()[:4] == b"\x7fELF"


def test_without_a_compiler(fresh, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert unavailable(CPU) == "there is no C++ compiler (no-such-compiler)"


def test_a_compiler_that_fails(fresh, monkeypatch):
    monkeypatch.setenv("CXX", compiler(fresh, "echo 'x.cpp:1: error: no such header' >&2; exit 1"))
    assert "fails (x.cpp:1: error: no such header)" in unavailable(CPU)


def test_a_compiler_that_makes_nothing_of_use(fresh, monkeypatch):
    script = 'while [ "$1" != "-o" ]; do shift; done; echo nothing > "$2"'
    monkeypatch.setenv("CXX", compiler(fresh, script))
    assert "the compiled library cannot be loaded" in unavailable(CPU)
    assert not library._path().exists()


@pytest.mark.skipif(os.getuid() == 0 and not os.path.isdir("/proc"), reason="needs a folder that nobody can write")
def test_a_cache_that_cannot_be_written(fresh, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    monkeypatch.setenv("CXX", compiler(fresh, "exit 0"))
    assert "/proc/none/darts-supernet cannot be written" in unavailable(CPU)
    library.keep_verified()
    assert not library.is_verified()


def test_without_a_home_folder(fresh, monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(library.Path, "home", unknown)
    assert unavailable(CPU) == "there is no home folder to keep them in; set XDG_CACHE_HOME to a folder"


def test_auto_is_batched_without_a_compiler(fresh, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    network = DARTSSpace(ImageShape(3, 8, 10), channels=4, layers=2, nodes=1).supernet()
    with pytest.warns(RuntimeWarning, match="there is no C\\+\\+ compiler .*; batched serves instead"):
        verification.prefer_fused(network, CPU, torch.float32)
    assert {module.backend for module in network.modules() if isinstance(module, MixedGraph)} == {"batched"}
    with pytest.warns(RuntimeWarning, match="there is no C\\+\\+ compiler .*; PyTorch serves instead"):
        assert not verification.layers_usable(CPU)
