"""A search method as a record of the components that it is composed of.

    relax           how logits become gates                         darts/bilevel/relaxations.py
    step            the logits' gradient                            darts/bilevel/hypergradients.py
    arch_optimizer  what moves the logits along it                  darts/bilevel/arch_optimizers.py
    discretize      which candidates are kept                       darts/bilevel/discretization.py
    edges           weights of whole edges (PC-DARTS)               darts/bilevel/modifiers.py
    penalties       what is added to the logits' loss               darts/bilevel/penalties.py
    perturb         what is done to the gates while weights train (SDARTS)
    skip            a schedule of auxiliary skip connections (DARTS-)
    callbacks       what acts beside both optimizations: freezes, decides, stops    darts/methods/context.py
    stages          shares of the epochs, with their networks

``darts.methods`` has one registry for the methods and one for each kind of component. A component is a function, or a
frozen dataclass whose fields are its options; it holds no state of a search. Components combine freely, but for what
they state about themselves (``darts.bilevel.requirements``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from darts.bilevel.arch_optimizers import ArchOptimizer, adam
from darts.bilevel.discretization import Discretize, top_edges
from darts.bilevel.hypergradients import Hypergradient, first_order
from darts.bilevel.modifiers import EdgeWeights, Schedule
from darts.bilevel.problem import Penalty, Perturb
from darts.bilevel.relaxations import Relaxation, Softmax
from darts.bilevel.requirements import NETWORKS, NEW_NETWORK, OPERATIONS, Component, Requirements, requirements_of
from darts.config.ranges import require
from darts.methods.context import Callback
from supernet.choice import ChoiceTable


@dataclass(frozen=True)
class Stage(Component):
    """A part of a search, with one network.

    Attributes:
        share: of the search's epochs.
        warmup: share of the stage's epochs in which the weights train alone.
        depth: cells, as a multiple of the configuration's.
        partial: candidates see 1/K of the channels.
        keep: candidates that each edge keeps of the stage before.
        fresh: whether weights and logits begin anew.
        restart: whether the learning rate's schedule begins anew with the stage.
        lr: factor of the weights' learning rate.
        constant: whether the learning rate stays what it is when the stage begins.
        skip_dropout: initial probability of dropping a value of a skip connection.
    """

    share: float = 1.0
    warmup: float = 0.0
    depth: float = 1.0
    partial: int = 1
    keep: int | None = None
    fresh: bool = False
    restart: bool = False
    lr: float = 1.0
    constant: bool = False
    skip_dropout: float = 0.0

    def __post_init__(self) -> None:
        require(self, above_0=("share", "depth", "lr"), share=("warmup",), from_1=("partial", "keep"))
        require(self, below_1=("skip_dropout",))

    def requirements(self) -> Requirements:
        if not self.skip_dropout:
            return Requirements()
        return Requirements(requires={OPERATIONS: "the dropout of skips needs operations between states"})


SOFTMAX = Softmax()


@dataclass(frozen=True)
class Method:
    """A search method. The defaults are DARTS of first order.

    Attributes:
        every: update the logits every so many steps.
        without: candidates of the space that the method leaves out.
        reach_end: whether schedules of the progress reach their last value in the last epoch, instead of after it.
        initial: (table, standard normal numbers, ``(e, o)`` or ``(e,)`` for edges) -> initial logits; where not given,
            the relaxation's.
    """

    relax: Relaxation = SOFTMAX
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
    reach_end: bool = False
    initial: Callable[[ChoiceTable, Tensor], Tensor] | None = None

    @property
    def acting(self) -> tuple[Callback, ...]:
        """Return the callbacks, the discretization first where it is one."""
        return tuple(each for each in (self.discretize, *self.callbacks) if isinstance(each, Callback))

    @property
    def components(self) -> Iterator[tuple[str, Any]]:
        """Yield each component with its field's name."""
        for field in COMPONENT_FIELDS:
            value = getattr(self, field)
            yield from ((field, each) for each in (value if isinstance(value, tuple) else (value,)))

    def requires(self, name: str) -> bool:
        """Return whether a component requires this property."""
        return any(name in requirements_of(component).requires for _, component in self.components)

    @property
    def properties(self) -> frozenset[str]:
        """Return what the later stages change: properties that components exclude (``darts.bilevel.requirements``)."""
        later = self.stages[1:]
        found = {NETWORKS} if any(stage.fresh or stage.keep for stage in later) else set()
        return frozenset(found | ({NEW_NETWORK} if any(stage.fresh for stage in later) else set()))


COMPONENT_FIELDS = (
    "relax",
    "step",
    "arch_optimizer",
    "discretize",
    "edges",
    "penalties",
    "perturb",
    "skip",
    "callbacks",
    "stages",
)
"""Fields of a method that hold components."""


def spans(stages: tuple[Stage, ...], epochs: int) -> list[range]:
    """Return the epochs of each stage; an empty range for a stage whose share rounds to nothing."""
    total = sum(stage.share for stage in stages)
    ends, done = [], 0.0
    for stage in stages:
        done += stage.share
        ends.append(round(epochs * done / total))
    return [range(start, end) for start, end in zip([0, *ends], ends)]
