"""The search method, and the components that replace its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from darts.config.ranges import POSITIVE


@dataclass(frozen=True)
class MethodConfig:
    """The search method, and the components that replace its own.

    A component is written as its name, or as its name and options: ``gumbel:first=5,last=0.5``
    (``darts.methods.compose``). ``None`` keeps the method's own.
    """

    name: str = "darts"
    """The search method, or a Python file that defines one as METHOD."""
    relax: str | None = None
    """Relaxation: how the logits become gates (weights of the candidate operations)."""
    step: str | None = None
    """How the gradient of the logits is computed, for example first_order or unrolled (DARTS's second order)."""
    arch_optimizer: str | None = None
    """Optimizer of the logits."""
    discretize: str | None = None
    """Discretization: which candidate operations and edges the genotype keeps."""
    edges: str | None = None
    """Weights of whole edges; none for no such weights."""
    penalties: tuple[str, ...] | None = None
    """Terms added to the loss of the logits; none for no term."""
    perturb: str | None = None
    """Perturbation of the gates while the weights train; none for no perturbation."""
    skip: str | None = None
    """Auxiliary skip connections; none for no such connections."""
    stages: tuple[str, ...] | None = None
    """Stages of the search, one after the other, such as stage:share=0.5,warmup=0.4,partial=4,keep=3
    (darts.methods.method.Stage)."""
    every: Annotated[int | None, POSITIVE] = None
    """N: the logits are updated every N steps."""
    without: tuple[str, ...] | None = None
    """Candidate operations of the space that are left out, such as none (the zero operation)."""
    reach_end: bool | None = None
    """Whether schedules, such as a temperature's, reach their last value in the last epoch, instead of after it."""
    callbacks: tuple[str, ...] | None = None
    """Callbacks that observe and steer the search, such as early stopping; none for no callback."""
