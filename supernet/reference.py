"""The mixed operation as the papers write it: one edge and one candidate at a time. This form is the definition.

Every other backend must equal it in value and in every gradient, from the same parameters. It is made of PyTorch's
own operations, so it can be differentiated any number of times: the exact unrolled step runs on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor
from torch.func import functional_call

from supernet.stacked import unstack

if TYPE_CHECKING:
    from supernet.mixed import MixedGraph


def reference(graph: MixedGraph, inputs: Sequence[Tensor], gates: Tensor) -> list[Tensor]:
    """All states of the graph: ``node = sum over its edges e, sum over o, of gates[e, o] * op_o(state(e))``."""
    edges = {}
    for state, source in enumerate(graph.sources):
        tensors = {name: unstack(op, len(source.rows)) for name, op in source.ops.items()}
        for copy, (row, target) in enumerate(zip(source.rows, source.targets)):
            edges[target, state] = source, row, {name: copies[copy] for name, copies in tensors.items()}
    states = list(inputs)
    for node in range(graph.nodes):
        total = 0
        for state, x in enumerate(states):
            source, row, tensors = edges[node, state]
            for column, (name, op) in enumerate(source.ops.items()):
                total = total + gates[row, column] * functional_call(op, tensors[name], (x,))
        states.append(total)
    return states
