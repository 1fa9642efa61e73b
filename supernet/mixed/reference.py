"""The mixed operation as the papers write it: one edge and one candidate at a time. This form is the definition.

Every other backend must equal it in value and in every gradient, from the same parameters. It is made of PyTorch's
own operations, so it can be differentiated any number of times: the exact unrolled step runs on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor
from torch.func import functional_call

from supernet.mixed.stacked import unstack
from supernet.ops import Zero

if TYPE_CHECKING:
    from supernet.mixed.graph import MixedSource


def reference(source: MixedSource, x: Tensor, gates: Tensor) -> Sequence[Tensor]:
    """What each edge that leaves ``x`` delivers: ``sum over o of gates[e, o] * op_o(x)``, as ``(b, c, h, w)``.

    Candidates whose gate is exactly 0 are left out. That looks at the gates' values, on any device.
    """
    tensors = {name: unstack(op, len(source.edges[name])) for name, op in source.ops.items()}
    live = (gates.detach() != 0).tolist()
    leaving = []
    for edge in range(len(source.rows)):
        total = None
        for name, op in source.ops.items():
            column = source.columns[name]
            if edge in source.edges[name] and live[edge][column]:
                copy = tensors[name][source.edges[name].index(edge)]
                y = gates[edge, column] * functional_call(op, copy, (x,))
                total = y if total is None else total + y
        leaving.append(Zero(source.stride)(x) if total is None else total)
    return leaving
