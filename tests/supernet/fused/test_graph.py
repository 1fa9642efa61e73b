"""The fused kernels, run by Triton's interpreter on the CPU, equal the reference: values, gradients, statistics."""

import re
from pathlib import Path

import pytest

from tests import interpreter

GROUPS = [
    ("any_graph", "layouts", "eight_steps"),
    ("a_node_without_terms", "any_subset", "gates_of_zero", "nasbench201", "fake_tensors"),
    ("partial_channels", "auxiliary_skips", "storage", "seen_through_by_the_compiler"),
]
"""Cases that share a process, each group of about the same time."""


@pytest.mark.parametrize("cases", GROUPS, ids="-".join)
def test_interpreted(cases):
    interpreter.passes(Path(__file__).with_name("interpreted.py"), *(f"test_{case}" for case in cases))


def test_every_case_is_in_a_group():
    written = re.findall(r"^def test_(\w+)", Path(__file__).with_name("interpreted.py").read_text(), re.MULTILINE)
    assert sorted(written) == sorted(case for cases in GROUPS for case in cases)
