"""Searched weights handed to a derived network, so that it begins where the supernet under one-hot gates stands."""

import torch
from torch import nn

from supernet.errors import SpaceError
from supernet.mixed.graph import MixedGraph
from supernet.mixed.stacked import unstack
from supernet.ops import OPS, BatchNorm, NorConv


def supernet_op(name: str, channels: int, stride: int) -> nn.Module:
    """An operation that can take a supernet's weights: it keeps the BatchNorm that searching put behind a pooling."""
    op = OPS[name].make(channels, stride, True)
    return nn.Sequential(op, BatchNorm(channels)) if OPS[name].norm_in_supernet else op


@torch.no_grad()
def copy_op_weights(graph: MixedGraph, row: int, name: str, op: nn.Module) -> None:
    """Copy one edge's candidate of a graph into a derived network's operation.

    BatchNorm's scale and shift stay at 1 and 0. A convolution's bias, which the derived one has not, is what BatchNorm
    subtracts anyhow: it moves into the running mean.

    Raises:
        SpaceError: where the edge has no such candidate.
    """
    source = next(source for source in graph.sources if row in source.rows)
    edge = source.rows.index(row)
    if edge not in source.edges.get(name, ()):
        raise SpaceError(f"the supernet has no {name} on edge {row}, so there are no weights to inherit")
    stacked = source.ops[name]
    searched = unstack(stacked, len(source.edges[name]))[source.edges[name].index(edge)]
    target = op.state_dict()
    for key, tensor in searched.items():
        if key in target:
            target[key].copy_(tensor)
    if isinstance(stacked, NorConv):
        op.op[2].running_mean.sub_(searched["op.1.bias"])


@torch.no_grad()
def copy_shared_weights(network: nn.Module, supernet: nn.Module) -> None:
    """Copy what both networks have under one name: stem, head, and all between the searched parts.

    Raises:
        SpaceError: where sizes differ.
    """
    searched = supernet.state_dict()
    for name, tensor in network.state_dict().items():
        if name in searched:
            if tensor.shape != searched[name].shape:
                shapes = f"{tuple(searched[name].shape)} in the supernet, {tuple(tensor.shape)} in the network"
                raise SpaceError(f"{name} is {shapes}: inherit at the width, depth and data set of the search")
            tensor.copy_(searched[name])
