"""The fused kernels, run by Triton's interpreter on the CPU, equal the reference: values, every gradient, statistics.

The interpreter is chosen before Triton is imported, so these tests run in a process of their own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")


@pytest.mark.parametrize("case", ["any_graph", "any_subset", "gates_of_zero", "partial_channels", "auxiliary_skips",
                                  "nasbench201", "layouts", "storage", "fake_tensors", "twenty_steps",
                                  "seen_through_by_the_compiler"])  # fmt: skip
def test_interpreted(case):
    file = Path(__file__).with_name("interpreted.py")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"{file}::test_{case}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
