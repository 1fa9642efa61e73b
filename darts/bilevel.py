"""The search's two optimization problems: a supernet, its logits and a relaxation, as pure functions.

Weights and logits travel as mappings from names to tensors, so that a virtual step or a perturbation is the same call
with other tensors. BatchNorm's running statistics follow the training passes of the weights alone: every other pass is
handed buffers to spoil.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from darts.relax import Relaxation
from darts.steps import Params
from supernet.choice import ChoiceTable, Gates

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
        progress: share of the search that is done, for relaxations with a schedule.
    """

    supernet: nn.Module
    tables: tuple[ChoiceTable, ...]
    logits: dict[str, Tensor]
    relax: Relaxation
    optimizer: torch.optim.SGD
    generator: torch.Generator
    autocast: AbstractContextManager
    progress: float = 0.0
    weights: dict[str, Tensor] = field(init=False)
    _spoiled: dict[str, Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.weights = dict(self.supernet.named_parameters())
        self._spoiled = {name: torch.zeros_like(buffer) for name, buffer in self.supernet.named_buffers()}

    @property
    def learning_rate(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    def gates(self, logits: Params) -> Gates:
        return {t.label: self.relax.gates(logits[t.label], t, self.progress, self.generator) for t in self.tables}

    def strengths(self) -> Gates:
        """The expected gates of the current logits, without a graph."""
        return {t.label: self.relax.strength(self.logits[t.label].detach(), t) for t in self.tables}

    def lower(self, weights: Params, logits: Params, batch: ImageBatch) -> Tensor:
        images, labels = batch
        with self.autocast:
            scores = functional_call(self.supernet, (dict(weights), self._spoiled), (images, self.gates(logits)))
        return F.cross_entropy(_exact(scores), labels)

    upper = lower

    def virtual_step(self, weights: Params, grads: Params) -> Params:
        """``w - eta (momentum buffer * momentum + g + weight decay * w)``: SGD's next step (DARTS, equation 6)."""
        group = self.optimizer.param_groups[0]
        ahead = {}
        for name, w in weights.items():
            buffer = self.optimizer.state.get(self.weights[name], {}).get("momentum_buffer")
            step = grads[name] + group["weight_decay"] * w
            if buffer is not None:
                step = step + group["momentum"] * buffer
            ahead[name] = w - group["lr"] * step
        return ahead

    def train_weights(self, batch: ImageBatch, clip: float) -> tuple[Tensor, Tensor]:
        """One step of the weights on the training loss; the gates are constants.

        Args:
            clip: the largest norm of the gradient, over all weights.

        Returns:
            The loss, a scalar, and the scores ``(b, classes)``, both before the step.
        """
        images, labels = batch
        with torch.no_grad():
            gates = self.gates(self.logits)
        with self.autocast:
            scores = self.supernet(images, gates)
        loss = F.cross_entropy(_exact(scores), labels)
        parameters = list(self.weights.values())
        for parameter, grad in zip(parameters, torch.autograd.grad(loss, parameters)):
            parameter.grad = grad
        nn.utils.clip_grad_norm_(parameters, clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach(), scores.detach()


def _exact(scores: Tensor) -> Tensor:
    """16-bit scores as float32; others as they are."""
    return scores.float() if scores.dtype.itemsize < 4 else scores
