"""The mixed operation as the papers write it, one edge and one candidate at a time. This backend is the definition.

Every other backend must equal it in its values and in every gradient, from the same parameters. It consists of
PyTorch's own operations, so it can be differentiated any number of times: the exact unrolled step runs on it.
"""

from collections.abc import Sequence

from torch import Tensor
from torch.func import functional_call

from supernet.mixed.source import MixedSource
from supernet.mixed.stacked import unstack
from supernet.ops import Zero


def reference(source: MixedSource, x: Tensor, gates: Tensor) -> Sequence[Tensor]:
    """Return the output of each edge that leaves ``x``: ``sum over o of gates[e, o] * op_o(x)``, as ``(b, c, h, w)``.

    Candidates whose gate is exactly 0 are left out. This reads the gates' values, on any device.
    """
    tensors = {name: unstack(op, len(source.edges[name])) for name, op in source.ops.items()}
    live = (gates.detach() != 0).tolist()
    outputs = []
    for edge in range(len(source.rows)):
        total = None
        for name, op in source.ops.items():
            column = source.columns[name]
            if edge in source.edges[name] and live[edge][column]:
                copy = tensors[name][source.edges[name].index(edge)]
                y = gates[edge, column] * functional_call(op, copy, (x,))
                total = y if total is None else total + y
        outputs.append(Zero(source.stride)(x) if total is None else total)
    return outputs
