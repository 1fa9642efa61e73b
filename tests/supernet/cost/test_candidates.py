"""Costs of candidates: what the layers of the real supernet do, one candidate of one edge at a time."""

import pytest
import torch
from torch import nn

from supernet.cost.candidates import candidate_costs
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace
from supernet.spaces.nasbench201 import NASBench201Space

SHAPE = ImageShape(3, 8, 4)
SPACES = {"darts": DARTSSpace(SHAPE, 4, 3, 1), "nasbench201": NASBench201Space(SHAPE, 4, 1)}


def costs_of(space, supernet, kind):
    gates = {t.label: torch.rand(t.rows, len(t.candidates)) for t in space.tables}
    calls = []

    def forward():
        calls.append(kind)
        supernet(SHAPE.example(2), gates)

    return candidate_costs(supernet, space.tables, kind, forward), len(calls)


@pytest.mark.parametrize("name", SPACES)
def test_parameters_are_the_supernets_and_need_no_pass(name):
    supernet = SPACES[name].supernet()
    costs, calls = costs_of(SPACES[name], supernet, "parameters")
    weights = sum(p.numel() for key, p in supernet.named_parameters() if ".ops." in key)
    assert sum(cost.sum() for cost in costs.values()) == weights and calls == 0


@pytest.mark.parametrize("name", SPACES)
def test_multiply_adds_are_those_of_the_convolutions_that_run(name):
    space = SPACES[name]
    supernet = space.supernet("reference")
    costs, calls = costs_of(space, supernet, "multiply_adds")
    assert calls == 1
    counted = []

    def count(module, inputs, output):
        if isinstance(module, nn.Conv2d):
            window = module.kernel_size[0] * module.kernel_size[1] * inputs[0].shape[1] // module.groups
            counted.append(output[0].numel() * (window + (module.bias is not None)))

    def run(gates):
        counted.clear()
        supernet(SHAPE.example(2), gates)
        return sum(counted)

    handle = torch.nn.modules.module.register_module_forward_hook(count)
    zeros = {table.label: torch.zeros(table.rows, len(table.candidates)) for table in space.tables}
    without = run(zeros)
    for table in space.tables:
        for row in range(table.rows):
            for column in range(len(table.candidates)):
                gates = {label: gate.clone() for label, gate in zeros.items()}
                gates[table.label][row, column] = 1.0
                assert run(gates) - without == costs[table.label][row, column], (row, table.candidates[column])
    handle.remove()
