"""Training on sampled paths: every step trains one architecture of the supernet, which all others share weights with.

Uniform samples are those of random search with weight sharing (RSPS, Li and Talwalkar 2019) and of single-path one-shot
search (Guo et al. 2020): the supernet is trained first, and searched afterwards. The logits do not take part: let the
weights train alone (``--method.stages stage:warmup=1``).
"""

from __future__ import annotations

from dataclasses import dataclass

from darts.bilevel.sampled_paths import drawn, follow
from darts.config.ranges import require
from darts.methods.context import Callback, MethodContext, accuracy_by_batches
from darts.training.microbatch import Batch
from supernet.choice import Picks


@dataclass(frozen=True)
class SinglePaths(Callback):
    """Trains the weights on one uniformly drawn architecture a step; the best of a sample is the result.

    Attributes:
        samples: architectures of which, after the last epoch, the one is kept that the shared weights judge best on the
            validation split, with BatchNorm by each batch's statistics; 0 for the last one drawn.
    """

    samples: int = 100
    acts_in_steps = True

    def __post_init__(self) -> None:
        require(self, from_0=("samples",))

    def before_weights(self, context: MethodContext, train: Batch, valid: Batch) -> None:
        follow(context.problem, drawn(context.problem))

    def decide(self, context: MethodContext, epoch: int) -> None:
        if epoch + 1 < context.epochs or not self.samples:
            return
        problem = context.problem
        best: tuple[float, Picks] | None = None
        for _ in range(self.samples):
            picks = drawn(problem)
            follow(problem, picks)
            accuracy = accuracy_by_batches(context, problem.expected_gates())
            if best is None or accuracy > best[0]:
                best = accuracy, picks
        assert best is not None
        follow(problem, best[1])
