"""PC-DARTS: partial channel connections (Xu et al. 2020).

A mixed operation sees 1/K of the channels, the others bypass it (equation 1; ``supernet.mixed.graph``): with K = 4 a
quarter of the memory, so larger batches. As sampled channels make the choice of edges unstable, every edge has a weight
of its own, normalized over the edges that enter its node (equation 3); edges are ranked by the product of both. In the
first 15 of 50 epochs the weights train alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from darts.bilevel.requirements import OPERATIONS, Component, Requirements
from darts.methods.method import Method, Stage
from supernet.choice import ChoiceTable


@dataclass(frozen=True)
class PerNode(Component):
    """Softmax over the edges that enter each node, ``(e,) -> (e,)`` (equation 3)."""

    def requirements(self) -> Requirements:
        return Requirements(
            requires={OPERATIONS: "weights of edges need operations between states"},
            excludes={"simplex": "weights of edges move as the gates do, and per_node's by a softmax"},
        )

    def __call__(self, logits: Tensor, table: ChoiceTable) -> Tensor:
        return torch.cat([part.softmax(0) for part in logits.split(list(table.groups))])


METHOD = Method(edges=PerNode(), stages=(Stage(warmup=0.3, partial=4),))
