"""OLES: operation-level early stopping (Jiang et al. 2023).

Candidates overfit the split that trains their weights: the gradient of a candidate's weights on the training batch
turns away from that on the validation batch. Where the cosine of both, averaged over ``window`` steps, falls below a
threshold, that candidate's weights are frozen for the rest of the search (algorithm 1). Both gradients are those of the
step itself: of the pass that the logits learn from and of the weights' own; where the first has none for the weights,
as in a warm-up or with another step than ``first_order``, one more pass takes it. The result is the genotype of the
epoch of the best validation accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from darts.bilevel.hypergradients import Batch, Params, frozen, gradient, same_draws
from darts.bilevel.problem import SearchProblem
from darts.bilevel.requirements import OPERATIONS, Requirements
from darts.config.ranges import require
from darts.methods.context import Callback, MethodContext
from darts.methods.method import Method
from supernet.mixed.source import MixedSource
from supernet.ops import SKIP


@dataclass(frozen=True)
class OperationStopping(Callback):
    """Freezes candidates whose gradients on both splits disagree.

    The mean of the authors' code is the sum of 21 cosines over 20: ``window=21,threshold=0.38095``.

    Attributes:
        threshold: of the mean cosine.
        window: steps that the mean is taken over.
        by_channel: whether the cosine is taken along the output channels of each of a candidate's convolutions and
            averaged over all else, as in the authors' code.
        left_over: whether the training gradient is that of the step before, clipped, and the validation gradient is
            added to it, as in the authors' code.
        drifting: whether momentum and weight decay still move frozen weights, as in the authors' code.
        one_batch: whether the best epoch is that of the best first validation batch, as in the authors' code.
        beginning: whether the result is the genotype with which the best epoch begins, that of the epoch before, as in
            the authors' code; where the first epoch is the best, it is that epoch's own.
    """

    threshold: float = 0.4
    window: int = 20
    by_channel: bool = False
    left_over: bool = False
    drifting: bool = False
    one_batch: bool = False
    beginning: bool = False

    acts_in_steps = True

    def __post_init__(self) -> None:
        require(self, from_1=("window",))

    def requirements(self) -> Requirements:
        excludes = super().requirements().excludes
        return Requirements(
            requires={OPERATIONS: "the stopping of operations needs operations between states"}, excludes=excludes
        )

    def with_gradients(self, context: MethodContext, train: Batch, valid: Batch) -> None:
        problem = context.problem
        problem.masks.drifting = self.drifting
        of_train = {name: w.grad for name, w in problem.weights.items() if w.grad is not None}
        grads: list[Params] = [of_train, problem.kept.valid or self._of_validation(problem, valid)]
        if self.left_over:
            grads = self._left_over(context, *grads)
        if grads:
            self._compare(context, _candidates(problem.supernet), grads)

    def compared_weights(self, problem: SearchProblem) -> frozenset[str]:
        return frozenset(name for names in _candidates(problem.supernet).values() for name in names)

    def _of_validation(self, problem: SearchProblem, valid: Batch) -> Params:
        """Return the gradient of the validation loss by a pass of its own."""
        wanted = self.compared_weights(problem)
        weights = {name: w.detach().requires_grad_(name in wanted) for name, w in problem.weights.items()}
        with same_draws(problem):
            gates = {label: gate.detach() for label, gate in problem.gates(frozen(problem.logits)).items()}
            loss = problem.loss(weights, gates, valid)
            return gradient(loss, {name: w for name, w in weights.items() if name in wanted})

    def _left_over(self, context: MethodContext, train: Params, valid: Params) -> list[Params]:
        """Return the gradients that the authors' code compares; nothing in the first step."""
        state = context.state("left_over_gradients")
        before = dict(state)
        length = torch.stack(torch._foreach_norm(list(train.values()))).norm()
        share = (context.weight_clip / (length + 1e-6)).clamp_max(1.0)
        state.update({name: train[name] * share for name in valid})
        if not before:
            return []
        before = {name: g.to(valid[name].device) for name, g in before.items()}
        return [before, {name: before[name] + g for name, g in valid.items()}]

    def _compare(self, context: MethodContext, groups: Mapping[str, list[str]], grads: list[Params]) -> None:
        cosines = {key: self._cosine([[g[name] for name in names] for g in grads]) for key, names in groups.items()}
        state = context.state("agreement")
        sums = state.setdefault("sums", {})
        for key, cosine in cosines.items():
            sums[key] = sums[key].to(cosine.device) + cosine if key in sums else cosine
        state["steps"] = state.get("steps", 0) + 1
        if state["steps"] == self.window:
            for key, total in sums.items():
                self._freeze(context.problem, groups[key], total / self.window < self.threshold)
            state.update(steps=0, sums={})

    def _freeze(self, problem: SearchProblem, names: list[str], stopped: Tensor) -> None:
        """Freeze the edges ``stopped``, ``(e,)``, of a candidate's tensors."""
        masks = problem.masks.frozen
        for name in names:
            masks[name] = masks.get(name, torch.zeros_like(stopped)) | stopped

    def after_epoch(self, context: MethodContext, epoch: int) -> dict[str, float]:
        accuracies = context.accuracies
        if self.one_batch:
            accuracies = context.state("first_batches").setdefault("accuracies", [])
            accuracies.append(_accuracy_of_the_first_batch(context))
        best = max(range(len(accuracies)), key=accuracies.__getitem__)
        context.choose_epoch(max(0, best - 1) if self.beginning else best)
        return {}

    def _cosine(self, sides: list[list[Tensor]]) -> Tensor:
        """Return the cosine for each edge, ``(e,)``; 1 where a gradient is 0, as of a candidate not sampled."""
        first, second = (torch.cat([g.flatten(1) for g in side], 1) for side in sides)
        cosine = torch.cosine_similarity(first, second, 1)
        if self.by_channel:
            each = [torch.cosine_similarity(a, b, 1).flatten(1).mean(1) for a, b in zip(*sides)]
            cosine = torch.stack(each).mean(0)
        return torch.where(first.any(1) & second.any(1), cosine, torch.ones_like(cosine))


def _accuracy_of_the_first_batch(context: MethodContext) -> float:
    """Return the accuracy, or the negative loss, on the first batch of the validation split."""
    means = context.evaluate(context.problem.expected_gates(), context.batch_size)
    return means.get("accuracy", -means["loss"])


def _candidates(supernet: torch.nn.Module) -> dict[str, list[str]]:
    """Return the names of the stacked tensors of each candidate that may be frozen.

    These are the candidates with weights but for the skip connection of reduction cells, which the authors' code does
    not freeze either.
    """
    found: dict[str, list[str]] = {}
    for prefix, source in supernet.named_modules():
        if isinstance(source, MixedSource):
            for name, op in source.ops.items():
                if name == SKIP:
                    continue
                tensors = [f"{prefix}.ops.{name}.{tensor}" for tensor, _ in op.named_parameters()]
                if tensors:
                    found[f"{prefix}.{name}"] = tensors
    return found


METHOD = Method(callbacks=(OperationStopping(),))
