"""The two optimization problems of a search: a supernet, its logits and a relaxation, as pure functions.

Weights and logits travel as mappings from names to tensors, so that a virtual step or a perturbation is the same call
with other tensors. BatchNorm's running statistics follow the training passes of the weights alone: every other pass is
given scratch buffers, which nothing reads.

Axis letters: ``b`` batch, ``c`` channels, ``h w`` rows and columns, ``e`` edges, ``o`` candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from darts.bilevel.hypergradients import KeptGradients, Params
from darts.bilevel.modifiers import UNDECIDED, GateModifiers, WeightMasks
from darts.bilevel.relaxations import Relaxation
from darts.training.microbatch import Batch, BatchPartition
from darts.training.objective import Call, Objective, classification
from supernet.choice import ChoiceTable, Gates, bias_of, edges_of, skip_of
from supernet.cost.space_costs import SpaceCosts
from supernet.network import DropPath

Penalty = Callable[["SearchProblem", Params, Gates], Tensor]
"""(problem, logits, their gates) -> a scalar, added to the loss that the logits descend."""

Perturb = Callable[["SearchProblem", Gates, Batch], Gates]
"""(problem, gates, training batch) -> the gates with which the weights take their step."""

ImageBatch = tuple[Tensor, Tensor]
"""Images ``(b, c, h, w)`` and labels ``(b,)``."""


@dataclass
class SearchProblem:
    """A ``Bilevel`` problem for a supernet.

    Attributes:
        supernet: called with images and gates.
        tables: its choices.
        logits: table label -> ``(e, o)``, leaves that require gradients.
        relax: how logits become gates.
        optimizer: of the supernet's weights; SGD with momentum and weight decay where the step looks ahead.
        generator: for relaxations that sample.
        autocast: the context in which the supernet is called.
        progress: share of the search that is done, ``()`` in float64; a tensor, so that a captured step reads it anew.
        partition: how batches are divided over ranks and micro-batches.
        modifiers: what is done to the gates beside the relaxation.
        masks: which weights do not train.
        kept: gradients of the weights that a callback compares.
        penalties: what is added to the loss that the logits descend.
        perturb: what is done to the gates while the weights train.
        drop_path: dropped edges and skip connections, while training.
        draw: returns a further batch of the training split, for steps that train weights of their own.
        example: inputs of any content, from which sizes are measured.
        objective: the loss of a batch, and what else is counted.
        costs: of the networks that are derived; None outside of a search.
        redraws: whether passes that must draw the same random numbers have drawn any.
    """

    supernet: nn.Module
    tables: tuple[ChoiceTable, ...]
    logits: dict[str, Tensor]
    relax: Relaxation
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    autocast: AbstractContextManager
    progress: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    partition: BatchPartition = field(default_factory=BatchPartition)
    modifiers: GateModifiers = field(default_factory=GateModifiers)
    masks: WeightMasks = field(default_factory=WeightMasks)
    kept: KeptGradients = field(default_factory=KeptGradients)
    penalties: tuple[Penalty, ...] = ()
    perturb: Perturb | None = None
    drop_path: DropPath | None = None
    draw: Callable[[], ImageBatch] | None = None
    example: Tensor | None = None
    objective: Objective = classification
    costs: SpaceCosts | None = None
    redraws: bool = False
    weights: dict[str, Tensor] = field(init=False)
    _scratch: dict[str, Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.progress = torch.as_tensor(self.progress, dtype=torch.float64, device=self.generator.device)
        self.weights = dict(self.supernet.named_parameters())
        self._scratch = {name: torch.zeros_like(buffer) for name, buffer in self.supernet.named_buffers()}

    @property
    def learning_rate(self) -> float:
        """Return the learning rate of the weights' optimizer."""
        return self.optimizer.param_groups[0]["lr"]

    def gates(self, logits: Params) -> Gates:
        """Return the gates of one forward pass: of candidates, and of what the method adds."""
        found = {
            table.label: self.relax.gates(logits[table.label], table, self.progress, self.generator)
            for table in self.tables
        }
        return self._modified(found, logits)

    def expected_gates(self, logits: Params | None = None) -> Gates:
        """Return the expected gates as a function of logits; by default of the current ones, without a graph."""
        if logits is None:
            logits = {label: logit.detach() for label, logit in self.logits.items()}
        return self._modified({t.label: self.relax.expected_gates(logits[t.label], t) for t in self.tables}, logits)

    def edge_scores(self) -> dict[str, Tensor]:
        """Return what a discretization ranks, ``(e, o)`` for each table: expected gates times the edges' weights."""
        gates = self.expected_gates()
        weights = {t.label: gates.get(edges_of(t.label)) for t in self.tables}
        return {label: gates[label] if w is None else gates[label] * w[:, None] for label, w in weights.items()}

    def lower(self, weights: Params, logits: Params, batch: Batch) -> Tensor:
        """Return the training loss, ``()``."""
        return self.loss(weights, self.gates(logits), batch)

    def upper(self, weights: Params, logits: Params, batch: Batch) -> Tensor:
        """Return the validation loss with the penalties, ``()``."""
        gates = self.gates(logits)
        loss = self.loss(weights, gates, batch)
        for penalty in self.penalties:
            loss = loss + penalty(self, logits, gates).to(loss.dtype)
        return loss

    def loss(self, weights: Params, gates: Gates, batch: Batch) -> Tensor:
        """Return the mean loss of a batch with these weights and gates, ``()``."""
        names = list(weights)

        def loss_of(inputs: Sequence[Tensor], part: Batch) -> Tensor:
            tensors, mixed = dict(zip(names, inputs)), dict(zip(gates, inputs[len(names) :]))
            return self.objective(self.functional(tensors, mixed), part).loss

        return self.partition.loss(loss_of, [*weights.values(), *gates.values()], batch)

    def loss_in_evaluation(self, gates: Gates, batch: Batch) -> Tensor:
        """Return the mean loss of a batch with the current weights, as constants, in evaluation mode, ``()``."""
        constants = {name: w.detach() for name, w in self.weights.items()}

        def loss_of(inputs: Sequence[Tensor], part: Batch) -> Tensor:
            def network(*given: Any, **named: Any) -> Any:
                with self.autocast:
                    return functional_call(self.supernet, constants, (*given, dict(zip(gates, inputs))), named)

            return self.objective(network, part).loss

        self.supernet.eval()
        value = self.partition.loss(loss_of, list(gates.values()), batch)
        self.supernet.train()
        return value

    def predict(self, weights: Params, gates: Gates, images: Tensor) -> Tensor:
        """Return class scores, ``(b, classes)``, with BatchNorm by the batch; running statistics do not change."""
        return self.functional(weights, gates)(images)

    def functional(self, weights: Params, gates: Gates) -> Call:
        """Return the supernet as a function of its inputs, with these weights and gates, and scratch buffers."""
        tensors = dict(weights), self._scratch

        def network(*inputs: Any, **named: Any) -> Any:
            with self.autocast:
                return functional_call(self.supernet, tensors, (*inputs, gates), {**named, **self._dropped})

        return network

    @property
    def _dropped(self) -> dict[str, DropPath]:
        return {"drop_path": self.drop_path} if self.drop_path else {}

    def _modified(self, gates: dict[str, Tensor], logits: Params) -> Gates:
        modifiers = self.modifiers
        for table in self.tables:
            label = table.label
            fixed = modifiers.fixed.get(label)
            if fixed is not None:
                gates[label] = torch.where(fixed == UNDECIDED, gates[label], fixed)
            if self.relax.bare:
                gates[bias_of(label)] = (gates[label] * (gates[label] == 0)).sum(1)
            if modifiers.edges is not None:
                gates[edges_of(label)] = modifiers.edges(logits[edges_of(label)], table)
            if modifiers.skip is not None:
                gates[skip_of(label)] = gates[label].new_ones(table.rows) * modifiers.skip(self.progress)
        return gates

    def virtual_step(self, weights: Params, grads: Params) -> Params:
        """Return ``w - eta (momentum buffer * momentum + g + weight decay * w)``: SGD's step (DARTS, equation 6)."""
        group = self.optimizer.param_groups[0]
        given = list(weights.values())
        decayed = steps = torch._foreach_add([grads[name] for name in weights], given, alpha=group["weight_decay"])
        buffers = [self.optimizer.state.get(self.weights[name], {}).get("momentum_buffer") for name in weights]
        if all(buffer is not None for buffer in buffers):
            steps = torch._foreach_add(steps, buffers, alpha=group["momentum"])
        if group["nesterov"]:
            steps = torch._foreach_add(decayed, steps, alpha=group["momentum"])
        return dict(zip(weights, torch._foreach_sub(given, torch._foreach_mul(steps, group["lr"]))))

    def train_weights(self, batch: Batch, clip: float) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Take one step of the weights on the training loss; the gates are constants.

        Args:
            batch: of the training split.
            clip: the largest norm of the gradient, over all weights.

        Returns:
            The loss of this rank's share of the batch before the step, and what it counts.
        """
        found = self.differentiate_weights(batch)
        self.move_weights(clip)
        return found

    def differentiate_weights(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Set the weights' ``grad`` to that of the training loss; the gates are constants.

        Args:
            batch: of the training split.

        Returns:
            The loss of this rank's share of the batch, and what it counts.
        """
        with torch.no_grad():
            gates = self.gates(self.logits)
        if self.perturb is not None:
            gates = self.perturb(self, gates, batch)

        def outcome_of(part: Batch) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
            outcome = self.objective(self.call(gates), part)
            return outcome.descended, outcome.loss, outcome.sums

        return self.partition.backward(self.supernet, outcome_of, batch)

    def move_weights(self, clip: float) -> None:
        """Take a step of the weights' optimizer along their ``grad``, but for those that do not train.

        Args:
            clip: the largest norm of the gradient, over all weights.
        """
        frozen = {self.weights[name]: _slices(at, self.weights[name]) for name, at in self.masks.frozen.items()}
        for weight, at in frozen.items():
            assert weight.grad is not None
            weight.grad.masked_fill_(at, 0.0)
        nn.utils.clip_grad_norm_(list(self.weights.values()), clip)
        held = {} if self.masks.drifting else {weight: weight.detach().clone() for weight in frozen}
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            for weight, before in held.items():
                weight.copy_(torch.where(frozen[weight], before, weight))

    def call(self, gates: Gates) -> Call:
        """Return the supernet as a function of its inputs, with its own weights and these gates."""

        def network(*inputs: Any, **named: Any) -> Any:
            with self.autocast:
                return self.supernet(*inputs, gates, **named, **self._dropped)

        return network


def _slices(at: Tensor, weight: Tensor) -> Tensor:
    """Return a mask ``(e,)`` of a stacked weight's slices as ``(e, 1, ...)``, to be broadcast over the weight."""
    return at.view(-1, *[1] * (weight.dim() - 1))
