"""Training on sampled paths: every step trains one architecture of the supernet, which all others share weights with.

Uniform samples are those of random search with weight sharing (RSPS, Li and Talwalkar 2019) and of single-path one-shot
search (Guo et al. 2020): the supernet is trained first, and searched afterwards. The logits do not take part: let the
weights train alone (``--method.stages stage:warmup=1``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from darts.bilevel.problem import SearchProblem
from darts.config.ranges import require
from darts.methods.context import Callback, MethodContext
from darts.methods.darts_pt import accuracy_by_batches
from darts.training.microbatch import Batch
from supernet.architectures import one_hot
from supernet.choice import Picks
from supernet.conditions import canonical, draw_open, open_tables


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


def drawn(problem: SearchProblem) -> Picks:
    """Return an architecture of a problem's tables, all equally likely, drawn from the problem's generator."""
    generator = problem.generator
    seed = torch.randint(2**62, (), generator=generator, device=generator.device).item()
    draws = draw_open(open_tables(problem.tables), {}, torch.Generator().manual_seed(int(seed)))
    return canonical(problem.tables, dict(draws))


def follow(problem: SearchProblem, picks: Picks) -> None:
    """Fix a problem's gates to those of an architecture, one-hot, until the next call."""
    for label, gates in one_hot(problem.tables, picks).items():
        table = next(table for table in problem.tables if table.label == label)
        problem.modifiers.fixed_of(table, problem.logits[label].detach()).copy_(gates)
