"""Each fused function, run by Triton's interpreter, equals its definition in plain PyTorch."""

from pathlib import Path

from tests import interpreter


def test_every_function_equals_its_definition():
    interpreter.passes(Path(__file__).with_name("interpreted_functions.py"))


def test_pools_of_any_size():
    interpreter.passes(Path(__file__).with_name("interpreted_pools.py"))
