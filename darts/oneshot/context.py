"""The search's ``MethodContext``: what a method may see of a running search and change in it.

Validation here is on the part of the search set that trains the logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from darts.bilevel import hessian
from darts.bilevel.hypergradients import Batch
from darts.bilevel.problem import SearchProblem
from darts.config import SearchConfig
from darts.data.dataset import DataSet
from darts.training.cuda_graph import capturing
from darts.training.evaluate import ReportProgress, evaluate
from darts.training.microbatch import BatchPartition
from supernet.choice import Gates

VALID_STREAM = 2**31
"""Added to the seed of the validation batches' order: with equal orders every epoch would pair the same batches."""

DRAW_STREAM = 2**30
"""Added to the seed of the order of batches that a method draws for itself."""

EIGENVALUE_STREAM = 2**29
"""Added to the seed of the order of the batches on which the eigenvalue is computed."""


@dataclass
class SearchContext:
    """The ``MethodContext`` of one search.

    Attributes:
        config: of the search.
        data: its data set.
        partition: how batches are divided over processes and micro-batches.
        problem: of the stage at work.
        train_indices, valid_indices: examples of the training split that train the weights and the logits, ``(n,)``.
        epochs, batch_size: as in ``MethodContext``.
        accuracies: of the finished epochs.
        chosen_epoch: whose genotype is the result; the last one's where None.
        stop_reason: why the search ends early.
        drawn_batches: how many batches the method has drawn for itself.
        states: name -> what a component remembers.
    """

    config: SearchConfig
    data: DataSet
    partition: BatchPartition
    problem: SearchProblem
    train_indices: Tensor = field(init=False)
    valid_indices: Tensor = field(init=False)
    epochs: int = field(init=False)
    batch_size: int = field(init=False)
    accuracies: list[float] = field(default_factory=list)
    chosen_epoch: int | None = None
    stop_reason: str | None = None
    drawn_batches: int = 0
    states: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        config = self.config
        self.train_indices, self.valid_indices = self.data.search_split(config.train_share, config.valid_share)
        self.epochs, self.batch_size = config.epochs, config.batch_size

    @property
    def configured_epochs(self) -> int:
        return self.config.epochs

    @property
    def weight_clip(self) -> float:
        return self.config.weights.clip

    @property
    def evaluation_batch_size(self) -> int:
        """Return the examples of a batch that is evaluated."""
        return 2 * self.config.batch_size

    def state(self, name: str) -> dict[str, Any]:
        return self.states.setdefault(name, {})

    def valid_batches(self) -> Iterator[Batch]:
        return self.data.train.batches(self.valid_indices, self.evaluation_batch_size, training=False)

    def evaluate(
        self, gates: Gates, examples: int | None = None, report: ReportProgress = lambda done, batches: None
    ) -> dict[str, float]:
        return evaluate(
            self.problem.supernet,
            self.problem.call(gates),
            self.problem.objective,
            split=self.data.train,
            indices=self.valid_indices[:examples],
            batch_size=examples or self.evaluation_batch_size,
            report=report,
            partition=self.partition,
        )

    def largest_eigenvalue(self, epoch: int) -> float:
        size, seed = self.config.batch_size, self.config.seed + EIGENVALUE_STREAM
        batch = next(self.data.train.endless_batches(self.valid_indices, size, seed, epoch))
        return hessian.largest_eigenvalue(self.problem, batch, self.config.logits.weight_decay)

    def total(self, value: Tensor) -> Tensor:
        return self.partition.ranks.total(value)

    def choose_epoch(self, epoch: int) -> None:
        self.chosen_epoch = epoch

    def stop(self, epoch: int, reason: str) -> None:
        self.epochs, self.stop_reason = epoch + 1, reason

    def first_batches(self) -> tuple[Batch, Batch]:
        """Return the first batch of each part of the search set, without augmentation."""
        size, split = self.config.batch_size, self.data.train
        train, valid = (
            next(split.batches(indices[:size], size, training=False))
            for indices in (self.train_indices, self.valid_indices)
        )
        return train, valid

    def draw(self) -> Batch:
        """Return a further batch of the examples that train the weights, for steps that train copies of them."""
        if capturing():
            raise RuntimeError("a batch that the method draws for itself is picked on the host")
        self.drawn_batches += 1
        size, seed = self.batch_size, self.config.seed + DRAW_STREAM
        return next(self.data.train.endless_batches(self.train_indices, size, seed, self.drawn_batches - 1))

    def state_dict(self) -> dict[str, Any]:
        """Return all that a checkpoint keeps."""
        return {name: getattr(self, name) for name in KEPT}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` returned.

        Raises:
            ValueError: where it is not that of such a search.
        """
        if not 1 <= state["epochs"] <= self.config.epochs or not 1 <= state["batch_size"] < 2**31:
            raise ValueError(f"not of a search of {self.config.epochs} epochs")
        for name in KEPT:
            setattr(self, name, state[name])


KEPT = ("epochs", "batch_size", "accuracies", "chosen_epoch", "stop_reason", "drawn_batches", "states")
"""Attributes of a context that a checkpoint keeps."""
