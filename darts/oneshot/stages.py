"""The networks of a search's stages: built, and followed by the next.

Most methods search in one stage. Others begin anew with fewer candidates in a deeper network (P-DARTS), or go on with
fewer candidates in a wider one (DrNAS).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from darts.bilevel.arch_optimizers import LogitsOptimizer
from darts.bilevel.hypergradients import unrolled_exact
from darts.bilevel.problem import SearchProblem
from darts.config.schema import SearchConfig
from darts.errors import UserError
from darts.methods.method import Method, Stage
from darts.training.device import autocast, check_fused
from darts.training.objective import Objective, classification
from supernet.choice import ChoiceTable, edges_of
from supernet.mixed.graph import MixedGraph, add_auxiliary_skips
from supernet.mixed.widen import widen
from supernet.ops import draw_noise_from
from supernet.spaces import SPACES
from supernet.spaces.space import SearchSpace, SpaceOptions

DEFAULT_SPACE = "darts"

Allowed = Mapping[str, tuple[tuple[str, ...], ...]]
"""Table label -> each row's candidates."""


@dataclass(frozen=True)
class Setting:
    """What a search is about, beside its configuration.

    Attributes:
        shape: of the data set's examples.
        make: builds the space; by default the configuration names one of ``SPACES``.
        objective: what is minimized.
    """

    shape: Any
    make: Callable[[SpaceOptions], SearchSpace] | None = None
    objective: Objective = classification

    def example(self, device: torch.device) -> Tensor | None:
        """Two inputs of the network, of any content, to find out sizes with; None where that is not known."""
        return self.shape.example(2).to(device) if hasattr(self.shape, "example") else None


class Built(NamedTuple):
    """What a stage trains."""

    space: SearchSpace
    problem: SearchProblem
    logits_optimizer: LogitsOptimizer


def build(config: SearchConfig, method: Method, setting: Setting, device: torch.device, number: int = 0,
          allowed: Allowed | None = None) -> Built:  # fmt: skip
    """The network of a stage with new weights and logits, drawn from the seed and the stage's number."""
    stage, backend = method.stages[number], config.space.backend
    if backend == "auto":
        backend = "reference" if method.step is unrolled_exact else "batched"
    if backend == "fused":
        check_fused(device)
    space = space_of(config, method, setting, stage, allowed)
    example = setting.example(device)
    if example is not None and hasattr(space, "check"):
        space.check(lambda model: model.to(device)(example))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + number)
        supernet = space.supernet(backend)
        initial = method.initial or getattr(method.relax, "initial", lambda _, draw: config.logits.scale * draw)
        logits = {t.label: initial(t, torch.randn(t.rows, len(t.candidates))) for t in space.tables}
        if method.edges is not None:
            logits |= {edges_of(t.label): initial(t, torch.randn(t.rows)) for t in space.tables}
        _check_graphs(config, method, supernet)
        if method.skip is not None:
            add_auxiliary_skips(supernet, getattr(method.skip, "convolution", False))
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
        example=example,
        objective=setting.objective,
    )
    draw_noise_from(problem.generator, supernet)
    return Built(space, problem, method.arch_optimizer(logits, space.tables, config.logits))


def follow(built: Built, config: SearchConfig, method: Method, setting: Setting, number: int) -> Built:
    """The network of a stage that follows the one that was built.

    It is a new one where the stage is fresh; where it has other candidates or channels, a widened one, with the same
    logits; else the same, whose optimizer begins anew with the learning rate's schedule.
    """
    space, problem, logits_optimizer = built
    stage, device = method.stages[number], problem.generator.device
    allowed = narrowed(space.tables, problem.edge_scores(), stage.keep)
    if stage.fresh:
        return build(config, method, setting, device, number, allowed)
    if stage.keep is None and stage.partial == method.stages[number - 1].partial:
        if stage.restart:
            problem.optimizer = _sgd(problem.supernet, config)
        return built
    later = build(config, method, setting, device, number, allowed)
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


def _check_graphs(config: SearchConfig, method: Method, supernet: nn.Module) -> None:
    """Refuse what needs operations between states, where there are none."""
    acting = {"callbacks": method.callbacks, "penalties": method.penalties}
    needing = {name: any(getattr(each, "needs_operations", False) for each in parts) for name, parts in acting.items()}
    needs = {
        "auxiliary skips need: set --method.skip none": method.skip is not None,
        "the dropout of skips needs: set --method.stages": any(stage.skip_dropout for stage in method.stages),
        "the stopping of operations needs: set --method.callbacks none": needing["callbacks"],
        "the costs of candidates need: set --method.penalties none": needing["penalties"],
        "weights of edges need: set --method.edges none": method.edges is not None,
        "bare gates need: set --method.relax gumbel": getattr(method.relax, "bare", False),
        "dropped edges need: set --drop-path 0": config.drop_path > 0,
    }
    needed = [told for told, used in needs.items() if used]
    if needed and not any(isinstance(module, MixedGraph) for module in supernet.modules()):
        raise UserError(f"this space has no operations between states, which {needed[0]}")


def _sgd(supernet: nn.Module, config: SearchConfig) -> torch.optim.SGD:
    sgd, parameters = config.weights, list(supernet.parameters())
    fused = parameters[0].is_cuda  # takes its learning rate from the GPU
    decay = dict(weight_decay=sgd.weight_decay, nesterov=sgd.nesterov)
    return torch.optim.SGD(parameters, sgd.lr, sgd.momentum, **decay, fused=fused)


def space_of(
    config: SearchConfig, method: Method, setting: Setting, stage: Stage, allowed: Allowed | None = None
) -> SearchSpace:
    """The space that a stage searches.

    Raises:
        UserError: where the configuration names none.
        SpaceError: where the space cannot be as the configuration wants it.
    """
    size = config.space
    name = size.name or DEFAULT_SPACE
    if name not in SPACES:
        raise UserError(f"--space.name is {name!r}; it must be one of {', '.join(SPACES)}")
    options = SpaceOptions(
        setting.shape,
        size.channels,
        round(size.layers * stage.depth),
        size.nodes,
        size.stem,
        size.candidates,
        method.without,
        size.partial or stage.partial,
        allowed or {},
        dropouts=asdict(config.language.dropout),
    )
    return (setting.make or SPACES[name].make)(options)


def dropped_skips(stage: Stage, epoch: int, epochs: int) -> float:
    """The dropout of skips in an epoch of a stage, counted from 0.

    It falls linearly while the weights train alone, then exponentially (P-DARTS, section 3.2 and its code:
    ``p (E - 1 - e) / E`` for the stage's ``E`` epochs, then ``p exp(-0.2 (e - warm-up))``).
    """
    warm = round(stage.warmup * epochs)
    return stage.skip_dropout * ((epochs - 1 - epoch) / epochs if epoch < warm else math.exp(-0.2 * (epoch - warm)))
