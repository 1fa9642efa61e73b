"""Networks of several architectures side by side, as one network with a group of channels for each.

A small network's training is mostly the cost of its many operations; side by side they share them: convolutions have a
group for each network, and the networks with the same operation on an edge are computed together. Each network's values
and gradients are those that it has by itself.

Axes: ``m`` network, ``b`` image, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genotypes.types.nasbench201 import EDGES, NASBENCH201_STATES, NASBench201Genotype
from supernet.ops import BatchNorm
from supernet.spaces.nasbench201 import StagedNetwork

CONVOLUTIONS = ("nor_conv_1x1", "nor_conv_3x3")
OTHERS = ("skip_connect", "avg_pool_3x3")


class Stack(nn.Module):
    """Networks of one stage, side by side.

    Args:
        genotypes: one for each network.
        networks: with their initial weights, which are copied.
        norm_momentum: of BatchNorm's running statistics.
    """

    def __init__(
        self, genotypes: Sequence[NASBench201Genotype], networks: Sequence[StagedNetwork], norm_momentum: float
    ):
        super().__init__()
        self.count = len(networks)
        self.stem = _side_by_side([network.stem[0] for network in networks])
        self.stem_norm = _norms(_parts([network.stem for network in networks], BatchNorm), norm_momentum)
        self.layers = nn.ModuleList(
            _Layer(genotypes, same, norm_momentum) for same in zip(*(network.stages[0] for network in networks))
        )
        self.norm = _norms([network.norm for network in networks], norm_momentum)
        heads: list[Any] = [network.classifier for network in networks]
        self.head_weight = nn.Parameter(torch.stack([head.weight.detach().t() for head in heads]))
        self.head_bias = nn.Parameter(torch.stack([head.bias.detach() for head in heads]).unsqueeze(1))

    def forward(self, images: Tensor) -> Tensor:
        """Return each network's logits of its images, ``(b, m, h, w) -> (m, b, classes)``."""
        x = self.stem_norm(self.stem(images))
        for layer in self.layers:
            x = layer(x)
        x = F.relu(self.norm(x)).mean((2, 3)).unflatten(1, (self.count, -1))
        return torch.baddbmm(self.head_bias, x.transpose(0, 1), self.head_weight)


class _Layer(nn.Module):
    """Cells side by side, ``(b, m c, h, w) -> (b, m c, h, w)``."""

    def __init__(self, genotypes: Sequence[NASBench201Genotype], layers: Sequence[Any], norm_momentum: float):
        super().__init__()
        self.count = len(genotypes)
        self.convolutions, self.norms = nn.ModuleDict(), nn.ModuleDict()
        self.places: dict[tuple[int, str], Tensor] = {}
        for edge in range(len(EDGES)):
            for name in (*CONVOLUTIONS, *OTHERS):
                having = [place for place, genotype in enumerate(genotypes) if genotype.ops[edge] == name]
                if having:
                    self.places[edge, name] = torch.tensor(having)
                if having and name in CONVOLUTIONS:
                    ops = [layers[place].ops[edge] for place in having]
                    self.convolutions[f"{edge}_{name}"] = _side_by_side(_parts(ops, nn.Conv2d))
                    self.norms[f"{edge}_{name}"] = _norms(_parts(ops, BatchNorm), norm_momentum)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        flat = x.unflatten(1, (self.count, -1)).flatten(2)  # (b, m, c h w)
        pooling = _pooling(*size, x.dtype)
        states = [flat]
        for node in range(1, NASBENCH201_STATES):
            entering, places = [], []
            for edge, (source, target) in enumerate(EDGES):
                if target == node:
                    for name, y, place in self._computed(edge, states[source]):
                        if name in CONVOLUTIONS:
                            z = F.relu(y.unflatten(2, (-1, *size)).flatten(1, 2))
                            z = self.norms[f"{edge}_{name}"](self.convolutions[f"{edge}_{name}"](z))
                            y = z.unflatten(1, (len(place), -1)).flatten(2)
                        elif name == "avg_pool_3x3":
                            y = (y.unflatten(2, (-1, size.numel())) @ pooling).flatten(2)
                        entering.append(y)
                        places.append(place)
            state = torch.zeros_like(flat)
            if entering:
                state = state.index_add(1, torch.cat(places), torch.cat(entering, 1))
            states.append(state)
        return states[-1].unflatten(2, (-1, *size)).flatten(1, 2)

    def _computed(self, edge: int, source: Tensor) -> list[tuple[str, Tensor, Tensor]]:
        """Return each operation of an edge, the states of the networks that have it, and which these are."""
        found = {name: place for (other, name), place in self.places.items() if other == edge}
        if not found:
            return []
        taken = source.index_select(1, torch.cat(list(found.values())))
        parts = taken.split([len(place) for place in found.values()], 1)
        return [(name, part, place) for (name, place), part in zip(found.items(), parts)]


@cache
def _pooling(height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Return 3x3 average pooling without padding's zeros as a matrix, ``(h w, h w)``, which a row of pixels is
    multiplied by."""
    pixels = height * width
    with torch.inference_mode(False):
        each = torch.eye(pixels, dtype=dtype).view(pixels, 1, height, width)
        return F.avg_pool2d(each, 3, 1, 1, count_include_pad=False).view(pixels, pixels)


def _parts(modules: Sequence[nn.Module], kind: type) -> list[Any]:
    """Return each module's one part of a kind."""
    return [part for module in modules for part in module.modules() if isinstance(part, kind)]


def _side_by_side(convolutions: Sequence[Any]) -> nn.Conv2d:
    """Return one convolution with a group for each."""
    first, count = convolutions[0], len(convolutions)
    joint = nn.Conv2d(
        first.in_channels * count,
        first.out_channels * count,
        first.kernel_size,
        first.stride,
        first.padding,
        groups=count,
        bias=False,
    )
    joint.weight = nn.Parameter(torch.cat([convolution.weight.detach() for convolution in convolutions]))
    return joint


def _norms(norms: Sequence[BatchNorm], momentum: float) -> BatchNorm:
    """Return one BatchNorm over the channels of all."""
    joint = BatchNorm(sum(len(norm.running_mean) for norm in norms))
    joint.load_state_dict({name: torch.cat([norm.state_dict()[name] for norm in norms]) for name in joint.state_dict()})
    joint.momentum = momentum
    return joint
