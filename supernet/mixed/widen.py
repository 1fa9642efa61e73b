"""Wider candidates that continue from what narrower ones have learnt (Net2WiderNet, Chen et al. 2016; DrNAS, 3.3).

New channels are copies of old ones; where a copied channel is read, the weights that read it are divided by the number
of copies. So a widened candidate computes the same function as before, on inputs that are widened by the same copies.

Axes: ``e`` edge, ``c`` channel, ``k`` side of a kernel.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from supernet.mixed.graph import mixed_graphs
from supernet.mixed.source import MixedSource
from supernet.ops import BatchNorm, FactorizedReduce


class ChannelMap:
    """Which old channel each new one copies: all old ones in order, then old ones drawn at random.

    Attributes:
        divided: whether weights that read a copied channel are divided by the number of its copies.
    """

    def __init__(self, generator: torch.Generator, divided: bool = True):
        self.generator, self.divided = generator, divided
        self.drawn: dict[tuple[int, int], Tensor] = {}

    def sources(self, old: int, new: int) -> Tensor:
        """Return the old channel of each of ``new`` ones, ``(c,)``; the same for each call with the same widths."""
        if (old, new) not in self.drawn:
            extra = torch.randint(old, (new - old,), generator=self.generator)
            self.drawn[old, new] = torch.cat([torch.arange(old), extra])
        return self.drawn[old, new]

    def sources_by_half(self, old: int, new: int) -> Tensor:
        """Return the same for a factorized reduction, where each of two convolutions delivers half of the channels."""
        half = self.sources(old // 2, new // 2)
        return torch.cat([half, old // 2 + half])


@torch.no_grad()
def widen(old: nn.Module, new: nn.Module, generator: torch.Generator, divided: bool = True) -> None:
    """Fill a network's tensors from one whose mixed graphs are narrower and have more candidates.

    Args:
        old, new: networks of the same cells; everything outside their mixed graphs has the same shapes.
        generator: on the CPU; draws which channels are copied, the same for all candidates of a width.
        divided: whether weights that read a copied channel are divided by the number of its copies.
    """
    channel_map = ChannelMap(generator, divided)
    inside = {id(module) for graph in mixed_graphs(new) for module in graph.modules()}
    modules = dict(new.named_modules())
    for name, theirs in old.named_modules():
        ours = modules.get(name)  # None for a candidate that is not kept
        if ours is not None and id(ours) not in inside:
            for tensor, values in (*theirs.named_parameters(recurse=False), *theirs.named_buffers(recurse=False)):
                getattr(ours, tensor).copy_(values)
        elif isinstance(ours, MixedSource) and isinstance(theirs, MixedSource):
            _widen_source(theirs, ours, channel_map)


def _widen_source(old: MixedSource, new: MixedSource, channel_map: ChannelMap) -> None:
    for name, op in new.ops.items():
        slices = [old.edges[name].index(edge) for edge in new.edges[name]]
        widen_candidate(old.ops[name], op, slices, channel_map)
    if new.skips is not None:
        assert old.skips is not None
        widen_candidate(old.skips, new.skips, range(len(new.rows)), channel_map)


@torch.no_grad()
def widen_values(old: nn.Module, new: nn.Module, values: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Return values of an old network's parameters, such as their momentum, for those of a wider one.

    They are copied as ``widen`` copies the parameters with a generator of the same seed, and divided nowhere.

    Args:
        old, new: the networks, which are not changed.
        values: parameter name -> a tensor of its shape.
        seed: of the generator.
    """
    old, new = copy.deepcopy(old), copy.deepcopy(new)
    for name, parameter in old.named_parameters():
        parameter.copy_(values[name])
    widen(old, new, torch.Generator().manual_seed(seed), divided=False)
    return {name: parameter.detach() for name, parameter in new.named_parameters()}


@torch.no_grad()
def widen_candidate(old: nn.Module, new: nn.Module, slices: Sequence[int], channel_map: ChannelMap) -> None:
    """Fill a stacked candidate from a narrower one, of which ``slices`` are taken."""
    chosen = list(slices)
    by_half = {id(part.bn) for part in new.modules() if isinstance(part, FactorizedReduce)}
    for theirs, ours in zip(old.modules(), new.modules()):
        if isinstance(ours, nn.Conv2d) and isinstance(theirs, nn.Conv2d):
            ours.weight.copy_(_widened_weight(theirs.weight[chosen], ours.weight.shape, channel_map))
        elif isinstance(ours, BatchNorm):
            for name, values in theirs.named_buffers():
                wide = ours.get_buffer(name)
                sources = channel_map.sources_by_half if id(ours) in by_half else channel_map.sources
                wide.copy_(values[chosen][:, sources(values.shape[1], wide.shape[1])])


def _widened_weight(weight: Tensor, shape: torch.Size, channel_map: ChannelMap) -> Tensor:
    """``(e, c_out, c_in, k, k)``, or a depthwise one ``(e, c, 1, k, k)``, of a larger shape."""
    weight = weight[:, channel_map.sources(weight.shape[1], shape[1]).to(weight.device)]
    if weight.shape[2] == shape[2]:
        return weight
    sources = channel_map.sources(weight.shape[2], shape[2]).to(weight.device)
    wide = weight[:, :, sources]
    return wide / sources.bincount()[sources].to(weight.dtype)[:, None, None] if channel_map.divided else wide
