"""OLES: operation-level early stopping (Jiang et al. 2023).

Candidates overfit the half of the data that trains them: the gradient of a candidate's weights on the training batch
turns away from that on the validation batch. Where the cosine of both, averaged over ``window`` steps, falls below a
threshold, that candidate's weights are frozen for the rest of the search (algorithm 1). Derived is the epoch of the
best validation accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from darts.bilevel.hypergradients import Batch, Params, frozen, gradient, same_draws
from darts.config.ranges import require
from darts.methods.method import Method
from darts.training.evaluate import evaluate
from supernet.mixed.graph import MixedSource

if TYPE_CHECKING:
    from darts.oneshot.task import SearchTask


@dataclass(frozen=True)
class OperationStopping:
    """Freezes candidates.

    Four forms of the authors' code. With ``by_channel`` the cosine is taken along the output channels of each of a
    candidate's convolutions, and is a mean over all else. With ``left_over`` the training gradient is that of the step
    before, clipped, and the validation gradient is added to it. With ``drifting`` momentum and weight decay go on
    moving frozen weights. With ``one_batch`` the best epoch is that of the best first validation batch. Its mean is the
    sum of 21 readings over 20: ``window=21,threshold=0.38095``.
    """

    threshold: float = 0.4
    window: int = 20
    by_channel: bool = False
    left_over: bool = False
    drifting: bool = False
    one_batch: bool = False
    needs_operations: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self, from_1=("window",))

    def before_weights(self, search: SearchTask, train: Batch, valid: Batch) -> None:
        problem = search.problem
        problem.drifting = self.drifting
        groups = _candidates(problem.supernet)
        weights = {name: w.detach().requires_grad_() for name, w in problem.weights.items()}
        wanted = {name: weights[name] for names in groups.values() for name in names}
        grads = []
        for batch in (train, valid):
            with same_draws(problem):
                gates = {label: gate.detach() for label, gate in problem.gates(frozen(problem.logits)).items()}
                grads.append(gradient(problem.loss(weights, gates, batch), weights if self.left_over else wanted))
        if self.left_over:
            grads = self._left_over(search, *grads)
        if grads:
            self._compare(search, groups, grads)

    def _left_over(self, search: SearchTask, train: Params, valid: Params) -> list[Params]:
        """What the authors' code finds of both gradients; nothing in the first step."""
        before = search.memory.get("left_over")
        length = torch.stack(torch._foreach_norm(list(train.values()))).norm()
        share = (search.config.weights.clip / (length + 1e-6)).clamp_max(1.0)
        search.memory["left_over"] = {name: g * share for name, g in train.items()}
        if before is None:
            return []
        before = {name: g.to(valid[name].device) for name, g in before.items()}
        return [before, {name: before[name] + g for name, g in valid.items()}]

    def _compare(self, search: SearchTask, groups: Mapping[str, list[str]], grads: list[Params]) -> None:
        problem = search.problem
        cosines = {key: self._cosine([[g[name] for name in names] for g in grads]) for key, names in groups.items()}
        memory = search.memory.setdefault("agreement", {"steps": 0, "sums": {}})
        sums = memory["sums"]
        for key, cosine in cosines.items():
            sums[key] = sums[key].to(cosine.device) + cosine if key in sums else cosine
        memory["steps"] += 1
        if memory["steps"] == self.window:
            for key, total in sums.items():
                stopped = total / self.window < self.threshold
                for name in groups[key]:
                    problem.frozen[name] = problem.frozen.get(name, torch.zeros_like(stopped)) | stopped
            memory["steps"], memory["sums"] = 0, {}

    def after_epoch(self, search: SearchTask, epoch: int) -> None:
        accuracies = search.accuracies
        if self.one_batch:
            accuracies = search.memory.setdefault("first_batches", [])
            accuracies.append(_of_the_first_batch(search))
        search.memory["chosen"] = max(range(len(accuracies)), key=accuracies.__getitem__)

    def _cosine(self, sides: list[list[Tensor]]) -> Tensor:
        """The cosine for each edge, ``(e,)``; 1 where a gradient is 0, as for a candidate that was not sampled."""
        first, second = (torch.cat([g.flatten(1) for g in side], 1) for side in sides)
        cosine = torch.cosine_similarity(first, second, 1)
        if self.by_channel:
            each = [torch.cosine_similarity(a, b, 1).flatten(1).mean(1) for a, b in zip(*sides)]
            cosine = torch.stack(each).mean(0)
        return torch.where(first.any(1) & second.any(1), cosine, torch.ones_like(cosine))


def _of_the_first_batch(search: SearchTask) -> float:
    """Accuracy, or the loss with its sign turned, on the first batch of the validation half."""
    problem, size = search.problem, search.config.batch_size
    network = problem.supernet, problem.call(problem.expected_gates()), problem.objective
    split = search.data.train, search.valid_indices[:size], size
    means = evaluate(*network, *split, lambda done, examples: None, search.partition)
    return means.get("accuracy", -means["loss"])


def _candidates(supernet: torch.nn.Module) -> dict[str, list[str]]:
    """Candidate with weights -> the names of its stacked tensors."""
    found = {}
    for prefix, source in supernet.named_modules():
        if isinstance(source, MixedSource):
            for name, op in source.ops.items():
                tensors = [f"{prefix}.ops.{name}.{tensor}" for tensor, _ in op.named_parameters()]
                if tensors:
                    found[f"{prefix}.{name}"] = tensors
    return found


METHOD = Method(callbacks=(OperationStopping(),))
