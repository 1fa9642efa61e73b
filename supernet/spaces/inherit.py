"""The weights of a supernet, copied to a derived network, which then equals the supernet under one-hot gates."""

import torch
from torch import Tensor, nn

from supernet.errors import SpaceError
from supernet.mixed.graph import MixedGraph
from supernet.mixed.stacked import unstack
from supernet.ops import OPS, BatchNorm, NorConv


def supernet_op(name: str, channels: int, stride: int) -> nn.Module:
    """Return an operation that can take a supernet's weights: with the BatchNorm that a supernet has behind pooling."""
    op = OPS[name].make(channels, stride, True)
    return nn.Sequential(op, BatchNorm(channels)) if OPS[name].norm_in_supernet else op


@torch.no_grad()
def copy_op_weights(graph: MixedGraph, row: int, name: str, op: nn.Module) -> None:
    """Copy the weights of a candidate of one edge to the operation of a derived network.

    BatchNorm's scale and shift stay 1 and 0. A convolution of the supernet may have a bias, which the derived one does
    not have: BatchNorm subtracts it, so it is subtracted from the running mean.

    Args:
        graph: of the supernet.
        row: of the edge in the table of choices.
        name: of the candidate.
        op: of the derived network.

    Raises:
        SpaceError: where the edge has no such candidate, and the operation has weights.
    """
    target = op.state_dict()
    if not target:
        return
    source = next(source for source in graph.sources if row in source.rows)
    edge = source.rows.index(row)
    if edge not in source.edges.get(name, ()):
        raise SpaceError(f"the supernet has no {name} on edge {row}, so there are no weights to inherit")
    stacked = source.ops[name]
    weights = unstack(stacked, len(source.edges[name]))[source.edges[name].index(edge)]
    for key, tensor in weights.items():
        if key in target:
            target[key].copy_(tensor)
    if isinstance(stacked, NorConv):
        target["op.2.running_mean"].sub_(weights["op.1.bias"])


@torch.no_grad()
def copy_shared_weights(network: nn.Module, supernet: nn.Module) -> None:
    """Copy the tensors that both networks have under one name: those of stem, head and everything between the cells.

    Raises:
        SpaceError: where sizes differ.
    """
    weights: dict[str, Tensor] = supernet.state_dict()
    for name, tensor in network.state_dict().items():
        if name in weights:
            if tensor.shape != weights[name].shape:
                shapes = f"{tuple(weights[name].shape)} in the supernet, {tuple(tensor.shape)} in the network"
                raise SpaceError(f"{name} is {shapes}: inherit at the width, depth and data set of the search")
            tensor.copy_(weights[name])
