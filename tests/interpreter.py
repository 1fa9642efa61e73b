"""Triton kernels on a CPU. The interpreter is chosen before Triton is imported, so in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


def passes(file: Path, *cases: str) -> None:
    """All tests of a file pass through the interpreter, or those of some functions."""
    triton = pytest.importorskip("triton")
    if _version(triton.__version__) < (3, 7) and _version(np.__version__) >= (2, 4):
        pytest.skip("the interpreter of this Triton needs NumPy before 2.4")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    chosen = [f"{file}::{case}" for case in cases] or [str(file)]
    plugins = ["-p", "no:cacheprovider", "-p", "tests.fast_interpreter"]
    command = [sys.executable, "-m", "pytest", "-q", "-x", *plugins, *chosen]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])
