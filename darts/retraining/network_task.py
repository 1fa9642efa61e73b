"""Training of any network by SGD, as a task of the training loop: what ``darts.retrain`` runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from darts.config import WeightsConfig
from darts.data.objective import Objective
from darts.data.order import shuffled
from darts.data.user_data import UserSplit
from darts.training.evaluate import ReportProgress, evaluate
from darts.training.sgd import set_learning_rate, sgd
from darts.training.state_form import load_optimizer


class NetworkTask:
    """Training of a network on a split, and its evaluation on another after each epoch.

    Args:
        network: on the device that trains.
        data: to train on.
        test: to evaluate on; None for no evaluation.
        objective: what is minimized.
        weights: the settings of SGD.
        epochs: passes over ``data``.
        batch_size: examples of a step, where ``data`` has no batch size of its own.
        seed: of the order of examples.

    Attributes:
        tested: figures of the last evaluation, their names beginning with ``test_``.
    """

    kind = "training"

    def __init__(
        self,
        network: nn.Module,
        data: UserSplit,
        *,
        test: UserSplit | None,
        objective: Objective,
        weights: WeightsConfig,
        epochs: int,
        batch_size: int,
        seed: int,
    ):
        self.network, self.objective, self.weights, self.seed = network, objective, weights, seed
        self.data, self.test = data, test
        self.epochs, self.batch_size = epochs, data.batch_size or batch_size
        self.steps_per_epoch = data.steps(len(data), self.batch_size)
        self.evaluation_steps = test.steps(len(test), self._test_batch, training=False) if test else 0
        self.attempt = 0
        self.optimizer = sgd(network, weights)
        self.tested: dict[str, float] = {}
        self._batches: Iterator[Any] = iter(())

    @property
    def _test_batch(self) -> int:
        """Number of examples of a batch that is evaluated."""
        return (self.test.batch_size if self.test else None) or 2 * self.batch_size

    def begin_epoch(self, epoch: int, step: int) -> None:
        set_learning_rate(self.optimizer, self.weights.learning_rate(epoch, self.epochs) * 0.5**self.attempt)
        self.network.train()
        order = shuffled(torch.arange(len(self.data)), self.seed, epoch, self.attempt)
        self._batches = self.data.batches(order, self.batch_size, True, step)

    def step(self) -> Mapping[str, Tensor]:
        loss, sums, _ = self.objective(self.network, next(self._batches))
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.weights.clip)
        self.optimizer.step()
        return {"loss": loss.detach() * sums["images"], **sums}

    def end_epoch(self, epoch: int, report: ReportProgress) -> dict[str, Any]:
        if self.test is not None:
            means = evaluate(
                self.network,
                self.network,
                self.objective,
                split=self.test,
                indices=torch.arange(len(self.test)),
                batch_size=self._test_batch,
                report=report,
            )
            self.tested = {f"test_{name}": mean for name, mean in means.items()}
        return self.tested

    def replicas(self) -> Mapping[str, Tensor]:
        return {}

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "figures": self.tested}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.tested = dict(state["figures"])
