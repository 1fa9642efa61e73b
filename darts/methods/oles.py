"""OLES: operation-level early stopping (Jiang et al. 2023).

Candidates overfit the half of the data that trains them: the gradient of a candidate's weights on the training batch
turns away from that on the validation batch. Where the cosine of both, averaged over ``window`` steps, falls below a
threshold, that candidate's weights are frozen for the rest of the search (algorithm 1). Derived is the epoch of the
best validation accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from darts.method import Method
from darts.steps import Batch, frozen, gradient, same_draws
from supernet.mixed import MixedSource

if TYPE_CHECKING:
    from darts.search import SearchTask


@dataclass(frozen=True)
class OperationStopping:
    """Freezes candidates; with ``by_channel``, as the authors' code does, the cosine is a mean over output channels."""

    threshold: float = 0.4
    window: int = 20
    by_channel: bool = False
    needs_operations: ClassVar[bool] = True

    def before_weights(self, search: SearchTask, train: Batch, valid: Batch) -> None:
        problem = search.problem
        groups = _candidates(problem.supernet)
        weights = {name: w.detach().requires_grad_() for name, w in problem.weights.items()}
        wanted = {name: weights[name] for names in groups.values() for name in names}
        grads = []
        for batch in (train, valid):
            with same_draws(problem):
                gates = {label: gate.detach() for label, gate in problem.gates(frozen(problem.logits)).items()}
                grads.append(gradient(problem.loss(weights, gates, batch), wanted))
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
        search.memory["chosen"] = max(range(len(accuracies)), key=accuracies.__getitem__)

    def _cosine(self, sides: list[list[Tensor]]) -> Tensor:
        """The cosine for each edge, ``(e,)``; 1 where a gradient is 0, as for a candidate that was not sampled."""
        first, second = (torch.cat([g.flatten(1) for g in side], 1) for side in sides)
        cosine = torch.cosine_similarity(first, second, 1)
        if self.by_channel:
            each = [torch.cosine_similarity(a.flatten(2), b.flatten(2), 2).mean(1) for a, b in zip(*sides)]
            cosine = torch.stack(each).mean(0)
        return torch.where(first.any(1) & second.any(1), cosine, torch.ones_like(cosine))


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


METHOD = Method(companions=(OperationStopping(),))
