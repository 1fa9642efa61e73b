"""Choices among sizes of one layer whose weights are entangled: a smaller layer is a slice of the larger one.

AutoFormer (Chen et al. 2021, section 3.2) trains sampled sizes. Under gates, the layer is the sum of its slices, each
weighted by its gate, computed once at the largest size (TangleNAS, Sukthanker et al. 2023). Under one-hot gates it is
the chosen slice: sizes above the largest whose gate is not 0 are not computed.

Axes: ``b`` batch, ``t`` token, ``d`` value of a token, ``o`` candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernet.layer_choice import GateValues

Option = TypeVar("Option")


@dataclass(frozen=True)
class Sizes:
    """The sizes of an axis, each the beginning of the next larger one.

    Attributes:
        sizes: in ascending order, without those whose gate is known to be 0.
        gates: of each; None where there is one size, with a gate of 1.
    """

    sizes: tuple[int, ...]
    gates: tuple[Tensor, ...] | None = None

    @property
    def largest(self) -> int:
        """The size at which layers are computed."""
        return self.sizes[-1]

    def weighted(self, x: Tensor) -> Tensor:
        """Return values whose last axis has the largest size, each times the gates of the sizes that have it."""
        if self.gates is None:
            return x
        tails = [sum(self.gates[index + 1 :], start=gate) for index, gate in enumerate(self.gates)]
        starts = (0, *self.sizes)
        return x * torch.cat([tail.expand(n - start) for tail, n, start in zip(tails, self.sizes, starts)]).to(x)

    def total(self, bias: Tensor) -> Tensor:
        """Return the bias of a layer that reads these sizes: times the sum of the gates."""
        return bias if self.gates is None else bias * sum(self.gates[1:], start=self.gates[0]).to(bias)

    def times(self, factor: int) -> Sizes:
        """Return the sizes where each position stands for several values: of heads, the width of a head."""
        return Sizes(tuple(factor * n for n in self.sizes), self.gates)


def fixed(size: int) -> Sizes:
    """Return a size that is no choice."""
    return Sizes((size,))


def chosen(values: GateValues, options: Sequence[Option]) -> list[tuple[Option, Tensor]]:
    """Return the options of a decision whose gates are not known to be 0, with their gates; at least the first."""
    pairs = list(zip(options, values.gates.unbind()))
    kept = [pair for pair, live in zip(pairs, values.live or [True] * len(pairs)) if live]
    return kept or pairs[:1]


def mixed(pairs: Sequence[tuple[int, Tensor]]) -> Sizes:
    """Return sizes with their gates, in any order; those of equal sizes are added."""
    gates: dict[int, Tensor] = {}
    for size, gate in pairs:
        gates[size] = gates[size] + gate if size in gates else gate
    sizes = tuple(sorted(gates))
    return Sizes(sizes, tuple(gates[size] for size in sizes))


def linear(layer: nn.Linear, x: Tensor, out: int, read: Sizes | None = None) -> Tensor:
    """Return the first ``out`` outputs of a layer of the first inputs, ``(..., d) -> (..., out)``.

    Args:
        layer: of the largest sizes.
        x: its inputs, as many as there are.
        out: number of outputs.
        read: the sizes by which ``x`` is weighted, so that the bias is too.
    """
    if (layer.in_features, layer.out_features) == (x.shape[-1], out) and (read is None or read.gates is None):
        return layer(x)  # called as a module, whose hooks see it
    bias = layer.bias[:out]
    return F.linear(x, layer.weight[:out, : x.shape[-1]], read.total(bias) if read else bias)


def normalized(norm: nn.LayerNorm, x: Tensor, width: Sizes) -> Tensor:
    """Return tokens ``(..., d)`` after LayerNorm over each width, weighted by the widths' gates."""

    def over(size: int) -> Tensor:
        return F.layer_norm(x[..., :size], (size,), norm.weight[:size], norm.bias[:size], norm.eps)

    if width.gates is None:
        whole = (width.largest,) == tuple(norm.normalized_shape)
        return norm(x) if whole else over(width.largest)
    terms = [F.pad(gate.to(x) * over(n), (0, width.largest - n)) for n, gate in zip(width.sizes, width.gates)]
    return sum(terms[1:], start=terms[0])


def central(weight: Tensor, kernel: Sizes) -> Tensor:
    """Return the kernels of a convolution, the smaller being the centre of the larger: ``(c, 1, k, k)``, weighted."""

    def centre(size: int) -> Tensor:
        margin = (weight.shape[-1] - size) // 2
        return weight[..., margin : margin + size, margin : margin + size]

    if kernel.gates is None:
        return centre(kernel.largest)
    terms = [
        F.pad(gate.to(weight) * centre(n), ((kernel.largest - n) // 2,) * 4)
        for n, gate in zip(kernel.sizes, kernel.gates)
    ]
    return sum(terms[1:], start=terms[0])


@torch.no_grad()
def copy_slices(network: nn.Module, supernet: nn.Module) -> None:
    """Copy to every tensor of a network the slice of the supernet's tensor of that name.

    The first two axes are cut behind their beginning, the axes of kernels around their centre.

    Raises:
        KeyError: where the supernet has no such tensor.
    """
    largest = supernet.state_dict()
    for name, tensor in network.state_dict().items():
        source = largest[name]
        for axis, size in enumerate(tensor.shape):
            source = source.narrow(axis, (source.shape[axis] - size) // 2 if axis > 1 else 0, size)
        tensor.copy_(source)
