"""The fused kernels, run by Triton's interpreter on the CPU, equal the reference: values, gradients, statistics."""

from pathlib import Path

import pytest

from tests import interpreter


@pytest.mark.parametrize("case", ["any_graph", "any_subset", "gates_of_zero", "partial_channels", "auxiliary_skips",
                                  "nasbench201", "layouts", "storage", "fake_tensors", "twenty_steps",
                                  "seen_through_by_the_compiler"])  # fmt: skip
def test_interpreted(case):
    interpreter.passes(Path(__file__).with_name("interpreted.py"), f"test_{case}")
