"""Changes of a search problem by single methods: of gates after they are computed, of weights in a step.

Axis letters: ``e`` edges (rows of a table), ``o`` candidates.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from darts.bilevel.requirements import OPERATIONS, Component, Requirements
from supernet.choice import ChoiceTable

UNDECIDED = -1.0
"""Entry of ``GateModifiers.fixed`` where the relaxation still decides; fixed gates are 0 or 1."""

EdgeWeights = Callable[[Tensor, ChoiceTable], Tensor]
"""Logits of edges ``(e,)`` and their table -> weights of edges, ``(e,)``."""


class Schedule(Component, ABC):
    """The gate of auxiliary skip connections as a function of the search's progress (DARTS-).

    Attributes:
        convolution: whether the auxiliary skip of stride 1 is a 1x1 convolution instead of the identity.
    """

    convolution: bool = False

    def requirements(self) -> Requirements:
        return Requirements(requires={OPERATIONS: "auxiliary skips need operations between states"})

    @abstractmethod
    def __call__(self, progress: Tensor) -> Tensor:
        """Return the gate, ``()``, at a progress in [0, 1], ``()``."""


@dataclass
class GateModifiers:
    """Changes of the gates that a relaxation returns, and gates that are added beside them.

    Attributes:
        edges: weights of whole edges, from the logits under ``edges_of(label)``, ``(e,)``.
        skip: the gate of auxiliary skip connections.
        fixed: table label -> ``(e, o)``, gates that are fixed to 0 or 1; ``UNDECIDED`` where the relaxation decides.
    """

    edges: EdgeWeights | None = None
    skip: Schedule | None = None
    fixed: dict[str, Tensor] = field(default_factory=dict)

    def fixed_of(self, table: ChoiceTable, like: Tensor) -> Tensor:
        """Return the table's fixed gates, ``(e, o)``, to be written to; all undecided at first, of ``like``'s type."""
        if table.label not in self.fixed:
            self.fixed[table.label] = torch.full_like(like, UNDECIDED)
        return self.fixed[table.label]


@dataclass
class WeightMasks:
    """Slices of stacked weights that do not train any more (OLES).

    Attributes:
        frozen: weight name -> ``(e,)``, bool: slices whose gradient is set to 0.
        drifting: whether momentum and weight decay still move frozen slices.
    """

    frozen: dict[str, Tensor] = field(default_factory=dict)
    drifting: bool = False
