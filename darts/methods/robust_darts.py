"""RobustDARTS: understanding and robustifying differentiable architecture search (Zela et al. 2020).

The largest eigenvalue of the Hessian of the validation loss with respect to the logits is computed every few epochs.
Where its local average has grown by a factor since four readings ago, DARTS-ES stops and takes the genotype of that
earlier epoch, in the middle of its average's five readings. DARTS-ADA returns to it and continues with ten times the
weight decay; it does not repeat the epochs since, as the authors' code does. R-DARTS searches several times,
with more weight decay or more drop path (``weights.weight_decay``, ``drop_path``), and keeps the search of the lowest
validation error. Spaces S1 to S4 of the paper are ``space.candidates``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from darts.bilevel.hypergradients import Unrolled
from darts.bilevel.problem import SearchProblem
from darts.bilevel.requirements import SGD_STEPS, Requirements
from darts.config.ranges import require
from darts.methods.context import Callback, MethodContext
from darts.methods.method import Method

Snapshot = dict[str, dict[str, torch.Tensor]]
"""``supernet``, ``logits`` and ``momentum`` -> their tensors by name, on the CPU."""


@dataclass(frozen=True)
class EigenvalueStop(Callback):
    """Stops the search, or regularizes it more, when the eigenvalue has grown.

    Attributes:
        ratio: by which the local average must have grown.
        every: epochs between two readings.
        window: readings of the local average, which is compared with that of ``window - 1`` readings ago.
        first: share of the search that must be done at the earlier epoch.
        adapt: whether the weight decay grows instead of the search being stopped.
        factor: of the weight decay.
        most: the largest weight decay that ``factor`` may lead to.
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

    def requirements(self) -> Requirements:
        back = {SGD_STEPS: "eigenvalue_stop:adapt=true goes back to an earlier momentum of SGD"} if self.adapt else {}
        return Requirements(requires=back)

    def after_epoch(self, context: MethodContext, epoch: int) -> dict[str, float]:
        if epoch % self.every and epoch + 1 < context.epochs:
            return {}
        state = context.state("eigenvalue_stop")
        for key in ("epochs", "values", "snapshots"):
            state.setdefault(key, [])
        state["epochs"].append(epoch)
        state["values"].append(context.largest_eigenvalue(epoch))
        if self.adapt:
            state["snapshots"] = [*state["snapshots"], _snapshot(context.problem)][-self.window - self.window // 2 :]
        values, back = list(state["values"]), self.window - 1
        earlier = len(values) - 1 - back - self.window // 2
        judged = earlier >= 0 and state["epochs"][earlier] >= self.first * context.configured_epochs
        grown = judged and mean(values, self.window) > self.ratio * mean(values[:-back], self.window)
        if grown and epoch + 1 < context.epochs:
            if self.adapt:
                self._return_to(context.problem, state, earlier)
            else:
                context.choose_epoch(state["epochs"][earlier])
                context.stop(epoch, "the largest Hessian eigenvalue has grown")
        return {"eigenvalue": values[-1]}

    def _return_to(self, problem: SearchProblem, state: dict[str, Any], earlier: int) -> None:
        """Return to the snapshot of a reading, or to the oldest that is left, and regularize more."""
        oldest = len(state["values"]) - len(state["snapshots"])
        kept = max(earlier, oldest) + 1
        state.update(epochs=state["epochs"][:kept], values=state["values"][:kept])
        state["snapshots"] = state["snapshots"][: kept - oldest]
        snapshot = state["snapshots"][-1]
        problem.supernet.load_state_dict(snapshot["supernet"])
        with torch.no_grad():
            for label, logit in problem.logits.items():
                logit.copy_(snapshot["logits"][label])
            for weight, buffer in _momentum(problem).items():
                buffer.copy_(snapshot["momentum"][weight])
        group = problem.optimizer.param_groups[0]
        group["weight_decay"] = max(group["weight_decay"], min(self.factor * group["weight_decay"], self.most))


def mean(values: list[float], window: int) -> float:
    """Return the mean of the last ``window`` values."""
    last = values[-window:]
    return sum(last) / len(last)


def _snapshot(problem: SearchProblem) -> Snapshot:
    state = {"supernet": problem.supernet.state_dict(), "logits": problem.logits, "momentum": _momentum(problem)}
    return {part: {name: t.detach().cpu().clone() for name, t in tensors.items()} for part, tensors in state.items()}


def _momentum(problem: SearchProblem) -> dict[str, torch.Tensor]:
    """Return the momentum of each weight that has one, by the weight's name."""
    found = {name: problem.optimizer.state.get(w, {}).get("momentum_buffer") for name, w in problem.weights.items()}
    return {name: buffer for name, buffer in found.items() if buffer is not None}


METHOD = Method(step=Unrolled(), callbacks=(EigenvalueStop(),))
ADAPTIVE = replace(METHOD, callbacks=(EigenvalueStop(adapt=True),))
