"""RobustDARTS: understanding and robustifying differentiable architecture search (Zela et al. 2020).

The largest eigenvalue of the Hessian of the validation loss with respect to the logits is read every few epochs. Where
its local average has grown by a factor since four readings ago, DARTS-ES stops and takes the genotype of that earlier
epoch; DARTS-ADA goes back to it and goes on with ten times the weight decay. R-DARTS searches several times, with more
weight decay or more drop path (``--weights.weight-decay``, ``--drop-path``), and keeps the search of the lowest
validation error. Spaces S1 to S4 of the paper are ``--space.candidates``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from darts.bilevel.hessian import largest_eigenvalue
from darts.bilevel.hypergradients import unrolled
from darts.config.ranges import require
from darts.data.dataset import endless
from darts.methods.method import Method

if TYPE_CHECKING:
    from darts.oneshot.task import SearchTask

EIGENVALUE_STREAM = 2**29
"""Added to the seed of the order of the batches on which the eigenvalue is read."""


@dataclass(frozen=True)
class EigenvalueStop:
    """Stops, or with ``adapt`` regularizes more, when the eigenvalue has grown.

    A reading every ``every`` epochs; the local average is of ``window`` readings, and is compared with that of
    ``window - 1`` readings ago from the share ``first`` of the search on. ``factor`` multiplies the weight decay, which
    does not pass ``most``.
    """

    ratio: float = 1.3
    every: int = 2
    window: int = 5
    first: float = 0.2
    adapt: bool = False
    factor: float = 10.0
    most: float = 0.03

    def __post_init__(self) -> None:
        require(self, from_1=("every",), from_2=("window",), share=("first",))
        require(self, above_0=("ratio", "factor", "most"))

    def after_epoch(self, search: SearchTask, epoch: int) -> dict[str, float]:
        if epoch % self.every and epoch + 1 < search.epochs:
            return {}
        memory = search.memory.setdefault("curvature", {"epochs": [], "values": [], "snapshots": []})
        memory["epochs"].append(epoch)
        memory["values"].append(eigenvalue_of(search, epoch))
        if self.adapt:
            memory["snapshots"] = [*memory["snapshots"], _snapshot(search)][-self.window :]
        values, back = memory["values"], self.window - 1
        grown = len(values) > back and mean(values, self.window) > self.ratio * mean(values[:-back], self.window)
        if grown and epoch >= self.first * search.config.epochs:
            if self.adapt:
                self._go_back(search, memory["snapshots"][0])
            else:
                search.memory["chosen"] = memory["epochs"][-1 - back]
                search.stop(epoch, "the largest Hessian eigenvalue has grown")
        return {"eigenvalue": values[-1]}

    def _go_back(self, search: SearchTask, snapshot: dict[str, dict[str, torch.Tensor]]) -> None:
        search.problem.supernet.load_state_dict(snapshot["supernet"])
        with torch.no_grad():
            for label, logit in search.problem.logits.items():
                logit.copy_(snapshot["logits"][label])
        group = search.problem.optimizer.param_groups[0]
        group["weight_decay"] = max(group["weight_decay"], min(self.factor * group["weight_decay"], self.most))
        search.memory["curvature"] = {"epochs": [], "values": [], "snapshots": []}


def eigenvalue_of(search: SearchTask, epoch: int) -> float:
    """The largest eigenvalue on a validation batch of the epoch's own."""
    size, seed = search.config.batch_size, search.config.seed + EIGENVALUE_STREAM
    batch = next(endless(search.data.train, search.valid_indices, size, seed, epoch))
    return largest_eigenvalue(search.problem, batch, search.config.logits.weight_decay)


def mean(values: list[float], window: int) -> float:
    """Of the last ``window`` values."""
    last = values[-window:]
    return sum(last) / len(last)


def _snapshot(search: SearchTask) -> dict[str, dict[str, torch.Tensor]]:
    problem = search.problem
    state = {"supernet": problem.supernet.state_dict(), "logits": problem.logits}
    return {part: {name: t.detach().cpu().clone() for name, t in tensors.items()} for part, tensors in state.items()}


METHOD = Method(step=unrolled, callbacks=(EigenvalueStop(),))
ADAPTIVE = replace(METHOD, callbacks=(EigenvalueStop(adapt=True),))
