"""The search's two optimization problems: a supernet, its logits and a relaxation, as pure functions.

Weights and logits travel as mappings from names to tensors, so that a virtual step or a perturbation is the same call
with other tensors. BatchNorm's running statistics follow the training passes of the weights alone: every other pass is
handed buffers to spoil.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from darts.bilevel.hypergradients import Params
from darts.bilevel.relaxations import Relaxation
from darts.training.microbatch import Batch, BatchPartition
from darts.training.objective import Call, Objective, classification
from supernet.choice import ChoiceTable, Gates, bias_of, edges_of, skip_of

if TYPE_CHECKING:
    from darts.methods.method import EdgeWeights, Penalty, Perturb, Schedule
    from supernet.network import DropPath

UNDECIDED = -1.0
"""No gate that is settled: those are 0 or 1."""

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
        optimizer: of the supernet's weights: SGD with momentum and weight decay.
        generator: for relaxations that sample.
        autocast: the context in which the supernet is called.
        progress: share of the search that is done, ``()`` in float64; a step that is replayed reads it anew.
        partition: how batches are divided over ranks and micro-batches.
        edges: how whole edges are weighed, by the logits under ``edges_of(label)``, ``(e,)``.
        penalties: what is added to the loss that the logits descend.
        perturb: what is done to the gates while the weights train.
        skip: the gate of auxiliary skips, by progress.
        decided: table label -> ``(e, o)``, gates that are settled; ``UNDECIDED`` where the relaxation still decides.
        frozen: weight -> ``(e,)``, slices that do not train any more.
        drifting: whether momentum and weight decay go on moving them.
        drop_path: dropped edges and skips, while training.
        draw: a further batch of the lower problem, for steps that train weights of their own.
        example: images ``(b, c, h, w)`` of any content, to find out sizes with.
        costs: what ``darts.bilevel.penalties`` has counted.
        objective: the loss of a batch, and what else is counted.
        redraws: whether passes that must draw the same random numbers have drawn any.
    """

    supernet: nn.Module
    tables: tuple[ChoiceTable, ...]
    logits: dict[str, Tensor]
    relax: Relaxation
    optimizer: torch.optim.SGD
    generator: torch.Generator
    autocast: AbstractContextManager
    progress: Tensor | float = 0.0
    partition: BatchPartition = field(default_factory=BatchPartition)
    edges: EdgeWeights | None = None
    penalties: tuple[Penalty, ...] = ()
    perturb: Perturb | None = None
    skip: Schedule | None = None
    decided: dict[str, Tensor] = field(default_factory=dict)
    frozen: dict[str, Tensor] = field(default_factory=dict)
    drifting: bool = False
    drop_path: DropPath | None = None
    draw: Callable[[], ImageBatch] | None = None
    example: Tensor | None = None
    costs: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    objective: Objective = classification
    redraws: bool = False
    weights: dict[str, Tensor] = field(init=False)
    _spoiled: dict[str, Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.progress = torch.as_tensor(self.progress, dtype=torch.float64, device=self.generator.device)
        self.weights = dict(self.supernet.named_parameters())
        self._spoiled = {name: torch.zeros_like(buffer) for name, buffer in self.supernet.named_buffers()}

    @property
    def learning_rate(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    def gates(self, logits: Params) -> Gates:
        """Gates for one forward pass: of candidates, and of what the method adds."""
        return self._all({t.label: self.relax.gates(logits[t.label], t, *self._when) for t in self.tables}, logits)

    def expected_gates(self) -> Gates:
        """The expected gates of the current logits, without a graph."""
        logits = {label: logit.detach() for label, logit in self.logits.items()}
        return self._all({t.label: self.relax.expected_gates(logits[t.label], t) for t in self.tables}, logits)

    def edge_scores(self) -> dict[str, Tensor]:
        """What a discretization ranks, ``(e, o)`` for each table: strengths, times those of their edges."""
        gates = self.expected_gates()
        weights = {t.label: gates.get(edges_of(t.label)) for t in self.tables}
        return {label: gates[label] if w is None else gates[label] * w[:, None] for label, w in weights.items()}

    def lower(self, weights: Params, logits: Params, batch: Batch) -> Tensor:
        return self.loss(weights, self.gates(logits), batch)

    def upper(self, weights: Params, logits: Params, batch: Batch) -> Tensor:
        gates = self.gates(logits)
        loss = self.loss(weights, gates, batch)
        for penalty in self.penalties:
            loss = loss + penalty(self, logits, gates).to(loss.dtype)
        return loss

    def loss(self, weights: Params, gates: Gates, batch: Batch) -> Tensor:
        """Mean loss of a batch with these weights and gates."""
        names = list(weights)

        def loss(inputs: Sequence[Tensor], part: Batch) -> Tensor:
            tensors, mixed = dict(zip(names, inputs)), dict(zip(gates, inputs[len(names) :]))
            return self.objective(self.functional(tensors, mixed), part).loss

        return self.partition.loss(loss, [*weights.values(), *gates.values()], batch)

    def loss_in_evaluation(self, gates: Gates, batch: Batch) -> Tensor:
        """The same with the current weights, as constants, and BatchNorm by its running statistics."""
        constants = {name: w.detach() for name, w in self.weights.items()}

        def loss(inputs: Sequence[Tensor], part: Batch) -> Tensor:
            def network(*given: Any) -> Any:
                with self.autocast:
                    return functional_call(self.supernet, constants, (*given, dict(zip(gates, inputs))))

            return self.objective(network, part).loss

        self.supernet.eval()
        value = self.partition.loss(loss, list(gates.values()), batch)
        self.supernet.train()
        return value

    def predict(self, weights: Params, gates: Gates, images: Tensor) -> Tensor:
        """Class scores, ``(b, classes)``, with BatchNorm by the batch; the running statistics do not move."""
        return self.functional(weights, gates)(images)

    def functional(self, weights: Params, gates: Gates) -> Call:
        """The supernet as a function of its inputs, with these weights and gates, and buffers to spoil."""
        tensors = dict(weights), self._spoiled

        def network(*inputs: Any) -> Any:
            with self.autocast:
                return functional_call(self.supernet, tensors, (*inputs, gates), self._dropped)

        return network

    @property
    def _when(self) -> tuple[Tensor, torch.Generator]:
        return self.progress, self.generator

    @property
    def _dropped(self) -> dict[str, DropPath]:
        return {"drop_path": self.drop_path} if self.drop_path else {}

    def _all(self, gates: dict[str, Tensor], logits: Params) -> Gates:
        for table in self.tables:
            label = table.label
            decided = self.decided.get(label)
            if decided is not None:
                gates[label] = torch.where(decided == UNDECIDED, gates[label], decided)
            if getattr(self.relax, "bare", False):
                gates[bias_of(label)] = (gates[label] * (gates[label] == 0)).sum(1)
            if self.edges is not None:
                gates[edges_of(label)] = self.edges(logits[edges_of(label)], table)
            if self.skip is not None:
                gates[skip_of(label)] = gates[label].new_ones(table.rows) * self.skip(self.progress)
        return gates

    def virtual_step(self, weights: Params, grads: Params) -> Params:
        """``w - eta (momentum buffer * momentum + g + weight decay * w)``: SGD's next step (DARTS, equation 6)."""
        group = self.optimizer.param_groups[0]
        given = list(weights.values())
        grads = steps = torch._foreach_add([grads[name] for name in weights], given, alpha=group["weight_decay"])
        buffers = [self.optimizer.state.get(self.weights[name], {}).get("momentum_buffer") for name in weights]
        if all(buffer is not None for buffer in buffers):
            steps = torch._foreach_add(steps, buffers, alpha=group["momentum"])
        if group["nesterov"]:
            steps = torch._foreach_add(grads, steps, alpha=group["momentum"])
        return dict(zip(weights, torch._foreach_sub(given, torch._foreach_mul(steps, group["lr"]))))

    def train_weights(self, batch: Batch, clip: float) -> tuple[Tensor, Mapping[str, Tensor]]:
        """One step of the weights on the training loss; the gates are constants.

        Args:
            clip: the largest norm of the gradient, over all weights.

        Returns:
            The loss of this rank's share before the step, and what it counts.
        """
        with torch.no_grad():
            gates = self.gates(self.logits)
        if self.perturb is not None:
            gates = self.perturb(self, gates, batch)

        def outcome(part: Batch) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
            outcome = self.objective(self.call(gates), part)
            return outcome.descended, outcome.loss, outcome.sums

        value, sums = self.partition.backward(self.supernet, outcome, batch)
        frozen = {self.weights[name]: _slices(at, self.weights[name]) for name, at in self.frozen.items()}
        for weight, at in frozen.items():
            weight.grad.masked_fill_(at, 0.0)
        nn.utils.clip_grad_norm_(list(self.weights.values()), clip)
        held = {} if self.drifting else {weight: weight.detach().clone() for weight in frozen}
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            for weight, before in held.items():
                weight.copy_(torch.where(frozen[weight], before, weight))
        return value, sums

    def call(self, gates: Gates) -> Call:
        """The supernet as a function of its inputs, with its own weights and these gates."""

        def network(*inputs: Any) -> Any:
            with self.autocast:
                return self.supernet(*inputs, gates, **self._dropped)

        return network


def _slices(at: Tensor, weight: Tensor) -> Tensor:
    """Which slices of a stacked weight ``(e, ...)`` are meant, to be broadcast over it."""
    return at.view(-1, *[1] * (weight.dim() - 1))
