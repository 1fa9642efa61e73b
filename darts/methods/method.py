"""A search method as a record of the components that it is composed of.

    relax       how logits become gates                         darts/bilevel/relaxations.py
    step        the logits' gradient                            darts/bilevel/hypergradients.py
    arch_optimizer  what moves the logits along it                  darts/bilevel/arch_optimizers.py
    discretize  which candidates are kept                       darts/bilevel/discretization.py
    edges       how whole edges are weighed (PC-DARTS)
    penalties   what is added to the logits' loss               darts/bilevel/penalties.py
    perturb     what is done to the gates while weights train (SDARTS)
    skip        a schedule of auxiliary skips (DARTS-)
    callbacks  what acts beside both optimizations: freezes, decides, stops
    stages      shares of the epochs, with their networks

``METHODS`` in ``darts.methods`` names the records. A component is a function, or a frozen dataclass whose fields are its
options; it holds no state. Components cross freely; ``conflict`` says what cannot go together, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from darts.bilevel.arch_optimizers import ArchOptimizer, adam
from darts.bilevel.discretization import Discretize, top_edges
from darts.bilevel.hypergradients import Batch, Hypergradient, Params, first_order
from darts.bilevel.relaxations import RELAXATIONS, Relaxation
from darts.config.ranges import require
from supernet.choice import ChoiceTable, Gates

if TYPE_CHECKING:
    from darts.bilevel.problem import SearchProblem
    from darts.oneshot.task import SearchTask

Penalty = Callable[["SearchProblem", Params, Gates], Tensor]
"""(problem, logits, their gates) -> a scalar, added to the loss that the logits descend."""

Perturb = Callable[["SearchProblem", Gates, Batch], Gates]
"""(problem, gates, training batch) -> the gates with which the weights take their step."""

EdgeWeights = Callable[[Tensor, ChoiceTable], Tensor]
"""Logits of edges ``(e,)`` and their table -> weights of edges, ``(e,)``."""

Schedule = Callable[[Tensor], Tensor]
"""Share of the search that is done, in [0, 1] -> a value; both are ``()``."""


class Callback(Protocol):
    """Acts beside both optimizations. What it remembers it keeps in ``search.memory``: tensors and plain values.

    A callback has one of these functions or several. A discretization that decides while the search runs is one too.
    """

    def before_weights(self, search: SearchTask, train: Batch, valid: Batch) -> None:
        """Is called in each step, between the logits' move and the weights'."""

    def decide(self, search: SearchTask, epoch: int) -> None:
        """Is called after the last step of each epoch, counted from 0, before the genotype is derived."""

    def after_epoch(self, search: SearchTask, epoch: int) -> Mapping[str, float] | None:
        """Is called when the epoch is evaluated and its genotype is known. Figures that it returns are logged."""


@dataclass(frozen=True)
class Stage:
    """A part of a search, with one network.

    Attributes:
        share: of the search's epochs.
        warmup: share of the stage's epochs in which the weights train alone.
        depth: cells, as a multiple of what the configuration says.
        partial: candidates see one in so many channels.
        keep: candidates that each edge keeps of the stage before.
        fresh: whether weights and logits begin anew.
        restart: whether the learning rate's schedule begins anew.
        lr: factor on the weights' learning rate.
        skip_dropout: probability, at first, of dropping a value of a skip connection.
    """

    share: float = 1.0
    warmup: float = 0.0
    depth: float = 1.0
    partial: int = 1
    keep: int | None = None
    fresh: bool = False
    restart: bool = False
    lr: float = 1.0
    skip_dropout: float = 0.0

    def __post_init__(self) -> None:
        require(self, above_0=("share", "depth", "lr"), share=("warmup",), from_1=("partial", "keep"))
        require(self, below_1=("skip_dropout",))


@dataclass(frozen=True)
class Method:
    """A search method. The defaults are DARTS of first order.

    Attributes:
        every: the logits move in one of so many steps.
        without: candidates of the space that the method leaves out.
        initial: (table, standard normal numbers, ``(e, o)`` or ``(e,)`` for edges) -> initial logits; where not given,
            the relaxation's, or small normal ones.
    """

    relax: Relaxation = RELAXATIONS["softmax"]
    step: Hypergradient = first_order
    arch_optimizer: ArchOptimizer = adam
    discretize: Discretize = top_edges
    edges: EdgeWeights | None = None
    penalties: tuple[Penalty, ...] = ()
    perturb: Perturb | None = None
    skip: Schedule | None = None
    callbacks: tuple[Callback, ...] = ()
    stages: tuple[Stage, ...] = (Stage(),)
    every: int = 1
    without: tuple[str, ...] = ()
    initial: Callable[[ChoiceTable, Tensor], Tensor] | None = None

    def hooks(self, name: str) -> list[Callable[..., None]]:
        """The functions of this name of the callbacks, the discretization among them."""
        acting = (self.discretize, *self.callbacks)
        return [getattr(callback, name) for callback in acting if hasattr(callback, name)]


def spans(stages: tuple[Stage, ...], epochs: int) -> list[range]:
    """The epochs of each stage; those of a stage whose share rounds to nothing are none."""
    total = sum(stage.share for stage in stages)
    ends, done = [], 0.0
    for stage in stages:
        done += stage.share
        ends.append(round(epochs * done / total))
    return [range(start, end) for start, end in zip([0, *ends], ends)]
