"""The networks of a search's stages: each built anew, or made of the one before.

Most methods search in one stage. Others begin anew with fewer candidates in a deeper network (P-DARTS), or continue
with fewer candidates in a wider one (DrNAS).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from darts.bilevel.arch_optimizers import LogitsOptimizer
from darts.bilevel.modifiers import GateModifiers
from darts.bilevel.penalties import prepare_penalties
from darts.bilevel.problem import SearchProblem
from darts.bilevel.requirements import DOUBLE_BACKWARD, OPERATIONS, requirements_of
from darts.config import SearchConfig
from darts.data.objective import Objective
from darts.errors import UserError
from darts.methods.compose import without
from darts.methods.method import Method, Stage
from darts.methods.space_factory import Allowed, space_from
from darts.training.device import autocast, check_fused
from darts.training.objective import classification
from darts.training.weights_optimizer import weights_optimizer
from supernet.choice import ChoiceTable, edges_of
from supernet.cost.space_costs import SpaceCosts
from supernet.fused.availability import fuse_layers
from supernet.fused.verification import prefer_fused
from supernet.mixed.graph import mixed_graphs
from supernet.mixed.source import add_auxiliary_skips
from supernet.mixed.widen import widen, widen_values
from supernet.ops import draw_noise_from
from supernet.shapes import ImageShape, TextShape
from supernet.spaces.space import SearchSpace, SpaceOptions


@dataclass(frozen=True)
class Setting:
    """The setting of a search beside its configuration.

    Attributes:
        shape: of the data set's examples and targets.
        make: builds the space of a user's own model; by default the configuration names one of ``SPACES``.
        objective: what is minimized.
    """

    shape: Any
    make: Callable[[SpaceOptions], SearchSpace] | None = None
    objective: Objective = classification

    def example(self, device: torch.device) -> Tensor | None:
        """Return two inputs of the network, of any content, to measure sizes with; None where they are not known."""
        return self.shape.example(2).to(device) if isinstance(self.shape, ImageShape | TextShape) else None


class Built(NamedTuple):
    """The network of a stage, its problem, and the optimizer of its logits."""

    space: SearchSpace
    problem: SearchProblem
    logits_optimizer: LogitsOptimizer


@dataclass(frozen=True)
class StageNetworks:
    """Builds the network of each stage of a method.

    Attributes:
        config: of the search.
        method: whose stages they are.
        setting: of the search.
        device: that the networks are built for.
    """

    config: SearchConfig
    method: Method
    setting: Setting
    device: torch.device

    def _costs(self, space: SearchSpace, stage: Stage, allowed: Allowed | None) -> SpaceCosts:
        """Return the costs of a stage's space at the size of the networks whose costs count."""
        config, shape = self.config, self.setting.shape
        size = config.deployment
        channels, layers = size.channels or config.space.channels, size.layers or config.space.layers
        if (channels, layers, stage.depth) == (config.space.channels, config.space.layers, 1):
            return SpaceCosts(space, shape)
        network = replace(config, space=replace(config.space, channels=channels, layers=layers))
        whole = replace(stage, depth=1.0)
        with torch.random.fork_rng(devices=[]):
            make = self.setting.make
            made = space_from(network, shape=shape, method=self.method, stage=whole, allowed=allowed, make=make)
        return SpaceCosts(made, shape)

    def build(self, number: int = 0, allowed: Allowed | None = None) -> Built:
        """Build the network of a stage with new weights and logits, drawn from the seed and the stage's number.

        Args:
            number: of the stage, from 0.
            allowed: the candidates that are left, where they are not all.

        Raises:
            UserError: where the space lacks what the method needs, or the device what the backend needs.
            SpaceError: where the space does not support the options.
        """
        config, method, setting, device = self.config, self.method, self.setting, self.device
        stage, backend = method.stages[number], config.space.backend
        if backend == "auto":
            backend = "reference" if method.requires(DOUBLE_BACKWARD) else "batched"
        if backend == "fused":
            check_fused(device)
        space = space_from(config, shape=setting.shape, method=method, stage=stage, allowed=allowed, make=setting.make)
        example = setting.example(device)
        if example is not None:
            space.check(lambda model: model.to(device)(example))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed + number)
            supernet = space.supernet(backend)
            if config.space.backend == "auto" and backend == "batched" and not config.run.sync_batchnorm:
                prefer_fused(supernet, device, torch.bfloat16 if config.run.precision == "bfloat16" else torch.float32)
            if any(graph.backend == "fused" for graph in mixed_graphs(supernet)):
                fuse_layers(supernet, device)
            logits = self._initial_logits(space.tables)
            _require_operations(config, method, supernet)
            if method.skip is not None:
                add_auxiliary_skips(supernet, method.skip.convolution)
        supernet.to(device)
        logits = {label: logit.to(device).requires_grad_() for label, logit in logits.items()}
        problem = SearchProblem(
            supernet,
            space.tables,
            logits,
            method.relax,
            weights_optimizer(supernet, config.weights),
            torch.Generator(device).manual_seed(config.seed + number),
            autocast(device, config.run.precision),
            modifiers=GateModifiers(method.edges, method.skip),
            penalties=method.penalties,
            perturb=method.perturb,
            example=example,
            objective=setting.objective,
            costs=self._costs(space, stage, allowed),
        )
        draw_noise_from(problem.generator, supernet)
        prepare_penalties(problem)
        return Built(space, problem, method.arch_optimizer(logits, space.tables, config.logits))

    def _initial_logits(self, tables: tuple[ChoiceTable, ...]) -> dict[str, Tensor]:
        method, scale = self.method, self.config.logits.scale

        def initial(table: ChoiceTable, draw: Tensor) -> Tensor:
            return method.initial(table, draw) if method.initial else method.relax.initial(table, draw, scale)

        logits = {t.label: initial(t, torch.randn(t.rows, len(t.candidates))) for t in tables}
        if method.edges is not None:
            logits |= {edges_of(t.label): initial(t, torch.randn(t.rows)) for t in tables}
        return logits

    def follow(self, built: Built, number: int) -> Built:
        """Build the network of the stage that follows the one of ``built``.

        It is a new one where the stage is fresh. Where the stage has other candidates or channels, it is a widened one
        with the same logits. Else it is the same, whose optimizer begins anew with the learning rate's schedule.
        """
        config, stage = self.config, self.method.stages[number]
        problem = built.problem
        allowed = narrowed(built.space.tables, problem.edge_scores(), stage.keep)
        if stage.fresh:
            return self.build(number, allowed)
        if stage.keep is None and stage.partial == self.method.stages[number - 1].partial:
            if stage.restart:
                problem.optimizer = weights_optimizer(problem.supernet, config.weights)
            return built
        later = self.build(number, allowed)
        seed = config.seed + number
        widen(problem.supernet, later.problem.supernet, torch.Generator().manual_seed(seed))
        _keep_momentum(problem, later.problem, seed)
        later.problem.logits = problem.logits
        later.problem.generator, later.problem.modifiers = problem.generator, problem.modifiers
        draw_noise_from(problem.generator, later.problem.supernet)
        return Built(later.space, later.problem, built.logits_optimizer)


def _keep_momentum(old: SearchProblem, new: SearchProblem, seed: int) -> None:
    """Give the weights of a widened network the momentum of those that they were copied from (DrNAS's code)."""
    state = old.optimizer.state
    buffers = {name: state[w].get("momentum_buffer") for name, w in old.weights.items() if w in state}
    momentum = {name: buffer for name, buffer in buffers.items() if buffer is not None}
    if len(momentum) == len(old.weights):
        for name, wide in widen_values(old.supernet, new.supernet, momentum, seed).items():
            new.optimizer.state[new.weights[name]]["momentum_buffer"] = wide


def narrowed(tables: tuple[ChoiceTable, ...], scores: Mapping[str, Tensor], keep: int | None) -> Allowed | None:
    """Return the ``keep`` candidates of the highest score in each row, in the table's order.

    Args:
        tables: the decisions.
        scores: table label -> ``(e, o)``; equal scores count in the table's order.
        keep: candidates that are left; None for all, and then nothing is returned.
    """
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


def _require_operations(config: SearchConfig, method: Method, supernet: nn.Module) -> None:
    """Refuse components that act on operations between states, where the supernet has none."""
    if mixed_graphs(supernet):
        return
    for field, component in method.components:
        why = requirements_of(component).requires.get(OPERATIONS)
        if why is not None:
            raise UserError(f"{why}, and this space has none: {without(f'method.{field}')}")
    if config.drop_path > 0:
        raise UserError("dropped edges need operations between states, and this space has none: set `drop_path` 0")


def dropped_skips(stage: Stage, epoch: int, epochs: int) -> float:
    """Return the dropout of skip connections in an epoch of a stage, counted from 0.

    It falls linearly while the weights train alone, then exponentially (P-DARTS, section 3.2 and its code:
    ``p (E - 1 - e) / E`` for the stage's ``E`` epochs, then ``p exp(-0.2 (e - warm-up))``).

    Args:
        stage: whose initial dropout it is.
        epoch: ``e``, of the stage.
        epochs: ``E``, of the stage.
    """
    warm = round(stage.warmup * epochs)
    return stage.skip_dropout * ((epochs - 1 - epoch) / epochs if epoch < warm else math.exp(-0.2 * (epoch - warm)))
