"""P-DARTS: progressive DARTS (Chen et al. 2019).

Three stages, each with a new and deeper network (5, 11 and 17 cells) and fewer candidates on every edge (8, 5 and 3):
the depth of the supernet approaches that of the network that is evaluated (section 3.1). Values of skip connections are
dropped at a rate that grows from stage to stage and decays within one, and the normal cell keeps at most two of them
(section 3.2). The logits begin to learn after 10 of a stage's 25 epochs.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from darts.bilevel.discretization import top_edges
from darts.config.ranges import require
from darts.methods.method import Method, Stage
from supernet.choice import ChoiceTable
from supernet.ops import SKIP


@dataclass(frozen=True)
class LimitedSkips:
    """DARTS's rule with a limited number of skip connections in a table: the one of the lowest score is replaced first.

    Tables whose skip connections are no sign of collapse are not limited: in the DARTS space, the reduction cell's.

    Attributes:
        most: skip connections that a table may keep.
    """

    most: int = 2

    def __post_init__(self) -> None:
        require(self, from_0=("most",))

    def __call__(self, scores: Tensor, table: ChoiceTable) -> tuple[tuple[int, str], ...]:
        scores = scores.detach().clone()
        while True:
            picks = top_edges(scores, table)
            skips = [row for row, op in picks if op == SKIP]
            if not table.watched_for_collapse or len(skips) <= self.most or set(table.candidates) <= {SKIP, "none"}:
                return picks
            column = table.candidates.index(SKIP)
            weakest = min(skips, key=lambda row: scores[row, column].item())
            scores[weakest, column] = -1.0


def stages(*skip_dropout: float) -> tuple[Stage, ...]:
    """Return three equal stages.

    Args:
        skip_dropout: the initial rate of each. Those of ``METHOD`` are in the README of the authors' code; those of
            ``CIFAR100`` could not be verified.
    """
    first, second, third = skip_dropout
    common = Stage(share=1 / 3, warmup=0.4, restart=True)
    return (
        replace(common, skip_dropout=first),
        replace(common, skip_dropout=second, depth=11 / 5, keep=5, fresh=True),
        replace(common, skip_dropout=third, depth=17 / 5, keep=3, fresh=True),
    )


METHOD = Method(discretize=LimitedSkips(), stages=stages(0.1, 0.4, 0.7))
CIFAR100 = Method(discretize=LimitedSkips(), stages=stages(0.1, 0.2, 0.3))
