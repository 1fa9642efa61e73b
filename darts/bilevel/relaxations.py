"""Relaxations: how logits become gates. The interface, DARTS's softmax and DrNAS's Dirichlet distribution.

The relaxations that further methods have for themselves stand in these methods' files.

A relaxation is stateless. ``gates`` returns what the network is called with in one forward pass, ``expected_gates``
their mean, for evaluation and for deriving an architecture. Both map ``(e, o)`` to ``(e, o)``: one row for each edge,
one column for each candidate.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from darts.bilevel.requirements import Component, Requirements
from supernet.choice import ChoiceTable

LEAST_CONCENTRATION = 1e-3
"""The smallest concentration: samples of a smaller one would underflow."""


class Relaxation(Component, ABC):
    """A map from logits to gates. Gates of candidates that the table does not allow are exactly 0.

    Attributes:
        bare: whether the gates that are 0 are added to what an edge delivers, as GDAS's code does: this changes no
            value, and gives their logits the sum of the edge's gradient.
    """

    bare: bool = False

    @abstractmethod
    def gates(self, logits: Tensor, table: ChoiceTable, progress: Tensor, generator: torch.Generator) -> Tensor:
        """Return gates for one forward pass.

        Args:
            logits: ``(e, o)``.
            table: the decisions that they belong to.
            progress: the share of the search that is done, in [0, 1], ``()``.
            generator: for relaxations that sample.
        """

    @abstractmethod
    def expected_gates(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        """Return the expected gates, ``(e, o)``."""

    def initial(self, table: ChoiceTable, draw: Tensor, scale: float) -> Tensor:
        """Return the initial logits: small normal numbers, where the parameters are not gates themselves.

        Args:
            table: the decisions that they belong to.
            draw: standard normal numbers, ``(e, o)``; ``(e,)`` for the weights of edges.
            scale: the configuration's standard deviation.
        """
        return scale * draw

    def log_density(self, gates: Tensor, logits: Tensor, table: ChoiceTable, progress: Tensor) -> Tensor | None:
        """Return the logarithm of the density of sampled gates, ``(e,)``, as a function of the logits.

        None but for relaxations that provide ``density``.
        """
        return None


@dataclass(frozen=True)
class Softmax(Relaxation):
    """Softmax over each edge's candidates (DARTS, Liu et al. 2019, equation 2)."""

    def gates(self, logits: Tensor, table: ChoiceTable, progress: Tensor, generator: torch.Generator) -> Tensor:
        return masked(logits, table).softmax(-1)

    def expected_gates(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        return masked(logits, table).softmax(-1)


@dataclass(frozen=True)
class DirichletGates(Relaxation):
    """Samples on the simplex, of a Dirichlet distribution (DrNAS, Chen et al. 2021, equation 3).

    The concentration is ``elu(a) + 1``; gradients pass through the sample.

    The expected gates, for evaluation and derivation, are the softmax of the logits, as in the authors' code; it orders
    an edge's candidates as the distribution's mean does.
    """

    def requirements(self) -> Requirements:
        return Requirements(provides=frozenset({"dirichlet"}))

    def gates(self, logits: Tensor, table: ChoiceTable, progress: Tensor, generator: torch.Generator) -> Tensor:
        sample = cast(Tensor, _DirichletSample.apply(concentration(logits), generator))
        if table.allowed is None:
            return sample
        left = sample * table.mask_on(sample.device)
        return left / left.sum(1, keepdim=True).clamp_min(torch.finfo(left.dtype).tiny)

    def expected_gates(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        return masked(logits, table).softmax(-1)


class _DirichletSample(torch.autograd.Function):
    """Samples of Dirichlet distributions, with PyTorch's own derivative by their concentrations, ``(e, o)``.

    It is that of ``torch.distributions.Dirichlet``, which takes no generator: of each coordinate's Beta distribution,
    with the sum of the underlying gammas averaged out.
    """

    @staticmethod
    def forward(ctx: Any, concentration: Tensor, generator: torch.Generator) -> Tensor:
        sample = torch._sample_dirichlet(concentration, generator=generator)
        ctx.save_for_backward(sample, concentration)
        return sample

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        sample, concentration = ctx.saved_tensors
        slopes = torch._dirichlet_grad(sample, concentration, concentration.sum(1, keepdim=True).expand_as(sample))
        return slopes * (grad - (sample * grad).sum(1, keepdim=True)), None


def concentration(logits: Tensor) -> Tensor:
    """Return ``elu(a) + 1``, which is more than 0, ``(e, o)``."""
    return (F.elu(logits) + 1).clamp_min(LEAST_CONCENTRATION)


def linear(first: float, last: float, progress: Tensor) -> Tensor:
    """Return the value of a linear schedule from ``first`` to ``last`` at a progress in [0, 1], ``()``."""
    return first + (last - first) * progress


def masked(logits: Tensor, table: ChoiceTable) -> Tensor:
    """Return the logits, with minus infinity for candidates that are not allowed: a softmax gives them exactly 0."""
    return logits if table.allowed is None else logits.masked_fill(~table.mask_on(logits.device), -torch.inf)


def gumbel_perturbed(logits: Tensor, table: ChoiceTable, generator: torch.Generator) -> Tensor:
    """Return log-probabilities plus Gumbel noise, ``(e, o)``: their argmax is distributed as the logits' softmax."""
    exponential = torch.empty_like(logits).exponential_(generator=generator)
    gumbel = -exponential.clamp_min(torch.finfo(logits.dtype).tiny).log()
    return masked(logits, table).log_softmax(-1) + gumbel


def straight_through(perturbed: Tensor, temperature: Tensor) -> Tensor:
    """Return one-hot samples of perturbed log-probabilities, whose gradient is that of their softmax.

    Args:
        perturbed: ``(e, o)``, from ``gumbel_perturbed``.
        temperature: of the softmax, ``()``.
    """
    soft = perturbed.div(temperature).softmax(-1)
    hard = torch.zeros_like(soft).scatter_(1, soft.detach().argmax(1, keepdim=True), 1.0)
    return hard + (soft - soft.detach())
