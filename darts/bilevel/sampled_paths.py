"""Sampled paths: architectures of a supernet, drawn uniformly, and gates that are fixed to one of them."""

import torch

from darts.bilevel.problem import SearchProblem
from supernet.architectures import one_hot
from supernet.choice import Picks
from supernet.conditions import canonical, draw_open, open_tables


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
