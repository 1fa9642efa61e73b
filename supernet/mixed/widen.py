"""Wider candidates that go on from what narrower ones have learnt (Net2WiderNet, Chen et al. 2016; DrNAS, section 3.3).

New channels are copies of old ones; where a copied channel is read, the weights that read it are divided by the number
of copies. So a widened candidate computes what it did, on inputs that are widened by the same copies.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from supernet.mixed.graph import MixedGraph, MixedSource
from supernet.ops import BatchNorm, FactorizedReduce


class ChannelMap:
    """Which old channel each new one is a copy of: all old ones in order, then old ones drawn at random."""

    def __init__(self, generator: torch.Generator):
        self.generator = generator
        self.drawn: dict[tuple[int, int], Tensor] = {}

    def of(self, old: int, new: int) -> Tensor:
        if (old, new) not in self.drawn:
            extra = torch.randint(old, (new - old,), generator=self.generator)
            self.drawn[old, new] = torch.cat([torch.arange(old), extra])
        return self.drawn[old, new]


@torch.no_grad()
def widen(old: nn.Module, new: nn.Module, generator: torch.Generator) -> None:
    """Fill a network's tensors from one whose mixed graphs are narrower and have more candidates.

    Args:
        old, new: networks of the same cells; all else has the same shapes.
        generator: on the CPU; draws which channels are copied, alike for all candidates of a width.
    """
    copies = ChannelMap(generator)
    inside = {id(module) for graph in _graphs(new) for module in graph.modules()}
    modules = dict(new.named_modules())
    for name, theirs in old.named_modules():
        ours = modules.get(name)  # a candidate that is not kept is no more there
        if ours is not None and id(ours) not in inside:
            for tensor, values in (*theirs.named_parameters(recurse=False), *theirs.named_buffers(recurse=False)):
                getattr(ours, tensor).copy_(values)
        elif isinstance(ours, MixedSource):
            _widen_source(theirs, ours, copies)


def _graphs(network: nn.Module) -> list[MixedGraph]:
    return [module for module in network.modules() if isinstance(module, MixedGraph)]


def _widen_source(old: MixedSource, new: MixedSource, copies: ChannelMap) -> None:
    for name, op in new.ops.items():
        slices = [old.edges[name].index(edge) for edge in new.edges[name]]
        widen_candidate(old.ops[name], op, slices, copies)
    if new.skips is not None:
        widen_candidate(old.skips, new.skips, list(range(len(new.rows))), copies)


@torch.no_grad()
def widen_candidate(old: nn.Module, new: nn.Module, slices: list[int], copies: ChannelMap) -> None:
    """Fill a stacked candidate from a narrower one, of which ``slices`` are taken."""
    halves = {id(part.bn) for part in new.modules() if isinstance(part, FactorizedReduce)}
    for theirs, ours in zip(old.modules(), new.modules()):
        if isinstance(ours, nn.Conv2d):
            ours.weight.copy_(_convolution(theirs.weight[slices], ours.weight.shape, copies))
        elif isinstance(ours, BatchNorm):
            for name, values in theirs.named_buffers():
                wide = getattr(ours, name)
                sizes = values.shape[1], wide.shape[1]
                at = _half_by_half(*sizes, copies) if id(ours) in halves else copies.of(*sizes)
                wide.copy_(values[slices][:, at])


def _convolution(weight: Tensor, shape: torch.Size, copies: ChannelMap) -> Tensor:
    """``(e, c_out, c_in, k, k)``, or a depthwise one ``(e, c, 1, k, k)``, of a larger shape."""
    weight = weight[:, copies.of(weight.shape[1], shape[1]).to(weight.device)]
    if weight.shape[2] == shape[2]:
        return weight
    at = copies.of(weight.shape[2], shape[2]).to(weight.device)
    return weight[:, :, at] / at.bincount()[at].to(weight.dtype)[:, None, None]


def _half_by_half(old: int, new: int, copies: ChannelMap) -> Tensor:
    """The channels of a factorized reduction: both of its convolutions deliver a half."""
    half = copies.of(old // 2, new // 2)
    return torch.cat([half, old // 2 + half])
