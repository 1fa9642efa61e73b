"""The narrow view that methods have of a running search, and the callbacks that a search calls.

``MethodContext`` is all that callbacks and discretizations get. A search (``darts.oneshot``) implements it; a method
knows nothing else of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from darts.bilevel.hypergradients import Batch
from darts.bilevel.problem import SearchProblem
from darts.bilevel.requirements import NETWORKS, Component, Requirements
from darts.training.objective import examples
from supernet.choice import Gates


class MethodContext(Protocol):
    """A running search as its method sees it.

    Attributes:
        epochs: of the search in all; fewer than configured once it was stopped.
        batch_size: examples a step, of each split; may be set, for the epochs to come.
    """

    epochs: int
    batch_size: int

    @property
    def problem(self) -> SearchProblem:
        """Return the problem at work: supernet, logits, optimizer of the weights."""

    @property
    def configured_epochs(self) -> int:
        """Return the number of epochs of the configuration."""

    @property
    def weight_clip(self) -> float:
        """Return the largest norm of the weights' gradient."""

    @property
    def accuracies(self) -> list[float]:
        """Return each finished epoch's validation accuracy; the negative loss where nothing is classified."""

    def state(self, name: str) -> dict[str, Any]:
        """Return what a component remembers under its name: tensors and plain values, kept in checkpoints."""

    def valid_batches(self) -> Iterator[Batch]:
        """Yield the validation split in order, without augmentation; under torchrun this rank's share of it."""

    def evaluate(self, gates: Gates, examples: int | None = None) -> Mapping[str, float]:
        """Return the means of the loss and of all that the objective counts, in evaluation mode.

        Args:
            gates: that the supernet is called with.
            examples: of the validation split, from its beginning, in one batch; all where not given.
        """

    def largest_eigenvalue(self, epoch: int) -> float:
        """Return the largest eigenvalue of the validation loss's Hessian, on a batch that the epoch determines."""

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor on the CPU over all processes."""

    def choose_epoch(self, epoch: int) -> None:
        """Make the genotype of this epoch, counted from 0, the result of the search."""

    def stop(self, epoch: int, reason: str) -> None:
        """End the search with this epoch."""


class Callback(Component):
    """Base of what acts beside both optimizations. It keeps what it remembers in ``context.state``.

    A callback overrides one of these functions or several. A discretization that decides while the search runs is a
    callback as well.

    Attributes:
        acts_in_steps: whether ``before_weights`` or ``with_gradients`` does anything; such a step is not captured as a
            CUDA graph.
    """

    acts_in_steps: bool = False

    def requirements(self) -> Requirements:
        reason = "callbacks remember one network's candidates, which the stages change"
        return Requirements(excludes={NETWORKS: reason})

    def before_weights(self, context: MethodContext, train: Batch, valid: Batch) -> None:
        """Act in each step, before the pass that the weights learn from."""

    def compared_weights(self, problem: SearchProblem) -> frozenset[str]:
        """Return the names of the weights whose gradients on both splits ``with_gradients`` compares.

        The hypergradient ``first_order`` leaves that of the validation loss in ``problem.kept``.
        """
        return frozenset()

    def with_gradients(self, context: MethodContext, train: Batch, valid: Batch) -> None:
        """Act in each step, when the weights have their gradients, ``weight.grad``, and have not moved yet."""

    def decide(self, context: MethodContext, epoch: int) -> None:
        """Act after the last step of each epoch, counted from 0, before the genotype is derived."""

    def after_epoch(self, context: MethodContext, epoch: int) -> Mapping[str, float]:
        """Act when the epoch is evaluated and its genotype is known. The figures that it returns are logged."""
        return {}


def accuracy_by_batches(context: MethodContext, gates: Gates) -> float:
    """Return the share of the validation split that is classified rightly, with BatchNorm by each batch's statistics.

    Where a user's own loss is minimized, it is the negative mean of the loss.
    """
    problem = context.problem
    weights = {name: w.detach() for name, w in problem.weights.items()}
    right = count = torch.zeros((), dtype=torch.int64)
    with torch.no_grad():
        for batch in context.valid_batches():
            if examples(batch):
                loss, sums, _ = problem.objective(problem.functional(weights, gates), batch)
                right = right.to(loss.device) + sums.get("accuracy", -loss * sums["images"])
                count = count + sums["images"].cpu()
    return context.total(right.cpu()).item() / context.total(count).item()
