"""The networks of a search's stages: built, and followed by the next.

Most methods search in one stage. Others begin anew with fewer candidates in a deeper network (P-DARTS), or go on with
fewer candidates in a wider one (DrNAS).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from darts.bilevel import SearchProblem
from darts.config import SearchConfig
from darts.device import autocast
from darts.method import Method, Stage
from darts.steps import unrolled_exact
from darts.updates import LogitsOptimizer
from supernet.choice import ChoiceTable, edges_of
from supernet.mixed import add_auxiliary_skips
from supernet.network import DropPath, ImageShape
from supernet.ops import draw_noise_from
from supernet.spaces.darts import DARTSSpace
from supernet.spaces.robust import ALLOWED, CANDIDATES
from supernet.widen import widen

Allowed = Mapping[str, tuple[tuple[str, ...], ...]]
"""Table label -> each row's candidates."""


class Built(NamedTuple):
    """What a stage trains."""

    space: DARTSSpace
    problem: SearchProblem
    logits_optimizer: LogitsOptimizer


def build(config: SearchConfig, method: Method, shape: ImageShape, device: torch.device, number: int = 0,
          allowed: Allowed | None = None) -> Built:  # fmt: skip
    """The network of a stage with new weights and logits, drawn from the seed and the stage's number."""
    stage, backend = method.stages[number], config.space.backend
    if backend == "auto":
        backend = "reference" if method.step is unrolled_exact else "batched"
    space = space_of(config, method, shape, stage, allowed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + number)
        supernet = space.supernet(backend)
        initial = method.initial or getattr(method.relax, "initial", lambda _, draw: config.logits.scale * draw)
        logits = {t.label: initial(t, torch.randn(t.rows, len(t.candidates))) for t in space.tables}
        if method.edges is not None:
            logits |= {edges_of(t.label): initial(t, torch.randn(t.rows)) for t in space.tables}
        if method.skip is not None:
            add_auxiliary_skips(supernet)
    supernet.to(device)
    logits = {label: logit.to(device).requires_grad_() for label, logit in logits.items()}
    problem = SearchProblem(
        supernet,
        space.tables,
        logits,
        method.relax,
        _sgd(supernet, config),
        torch.Generator(device).manual_seed(config.seed + number),
        autocast(device, config.run.precision),
        edges=method.edges,
        penalties=method.penalties,
        perturb=method.perturb,
        skip=method.skip,
        example=torch.zeros(2, shape.channels, shape.size, shape.size, device=device),
    )
    draw_noise_from(problem.generator, supernet)
    return Built(space, problem, method.update(logits, space.tables, config.logits))


def follow(built: Built, config: SearchConfig, method: Method, number: int) -> Built:
    """The network of a stage that follows the one that was built.

    It is a new one where the stage is fresh; where it has other candidates or channels, a widened one, with the same
    logits; else the same, whose optimizer begins anew with the learning rate's schedule.
    """
    space, problem, logits_optimizer = built
    stage, device = method.stages[number], problem.generator.device
    allowed = narrowed(space.tables, problem.scores(), stage.keep)
    if stage.fresh:
        return build(config, method, space.shape, device, number, allowed)
    if stage.keep is None and stage.partial == method.stages[number - 1].partial:
        if stage.restart:
            problem.optimizer = _sgd(problem.supernet, config)
        return built
    later = build(config, method, space.shape, device, number, allowed)
    widen(problem.supernet, later.problem.supernet, torch.Generator().manual_seed(config.seed + number))
    later.problem.logits = problem.logits
    later.problem.generator, later.problem.decided = problem.generator, problem.decided
    draw_noise_from(problem.generator, later.problem.supernet)
    return Built(later.space, later.problem, logits_optimizer)


def narrowed(tables: tuple[ChoiceTable, ...], scores: Mapping[str, Tensor], keep: int | None) -> Allowed | None:
    """The ``keep`` candidates of the highest score in each row, in the table's order; equals in that order too."""
    if keep is None:
        return None
    allowed = {}
    for table in tables:
        rows = []
        for row, score in enumerate(scores[table.label].tolist()):
            left = [column for column, name in enumerate(table.candidates) if table.permits(row, name)]
            best = sorted(left, key=lambda column: -score[column])[:keep]
            rows.append(tuple(table.candidates[column] for column in sorted(best)))
        allowed[table.label] = tuple(rows)
    return allowed


def _sgd(supernet: nn.Module, config: SearchConfig) -> torch.optim.SGD:
    sgd = config.weights
    return torch.optim.SGD(supernet.parameters(), sgd.lr, sgd.momentum, weight_decay=sgd.weight_decay)


def space_of(
    config: SearchConfig, method: Method, shape: ImageShape, stage: Stage, allowed: Allowed | None = None
) -> DARTSSpace:
    """The space that a stage searches."""
    size = config.space
    candidates = CANDIDATES.get(size.candidates, DARTSSpace.candidates)
    return DARTSSpace(
        shape,
        size.channels,
        round(size.layers * stage.depth),
        size.nodes,
        tuple(name for name in candidates if name not in method.without),
        size.stem,
        size.partial or stage.partial,
        allowed or ALLOWED.get(size.candidates, {}),
    )


def dropped(probability: float, stage: Stage, epoch: int, epochs: int, generator: torch.Generator) -> DropPath | None:
    """What is dropped in an epoch of a stage, counted from 0: edges, and values of skips.

    The dropout of skips falls linearly while the weights train alone, then exponentially (P-DARTS, section 3.2 and its
    code: ``p (E - 1 - e) / E`` for the stage's ``E`` epochs, then ``p exp(-0.2 (e - warm-up))``).
    """
    warm = round(stage.warmup * epochs)
    fall = (epochs - 1 - epoch) / epochs if epoch < warm else torch.tensor(-0.2 * (epoch - warm)).exp().item()
    skips = stage.skip_dropout * fall
    return DropPath(probability, generator, skips) if probability or skips else None
