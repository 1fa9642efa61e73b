"""Training of any network on a user's data, as a task of the training loop: of ``darts.retrain``, and of each trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from darts.config import WeightsConfig
from darts.data.objective import Objective
from darts.data.order import shuffled
from darts.data.user_data import UserSplit
from darts.retraining.best_epoch import BestEpoch
from darts.retraining.start import Frozen
from darts.training.evaluate import ReportProgress, evaluate
from darts.training.state_form import load_optimizer
from darts.training.weights_optimizer import set_learning_rate, weights_optimizer


class NetworkTask:
    """Training of a network on a split, and its evaluation on others after each epoch.

    Args:
        network: on the device that trains.
        data: to train on.
        valid: to select the best epoch by; None for the last epoch.
        test: to evaluate on; None for no evaluation.
        objective: what is minimized.
        weights: the settings of SGD.
        epochs: passes over ``data``.
        batch_size: examples of a step, where ``data`` has no batch size of its own.
        seed: of the order of examples.
        patience: epochs without a better validation result after which the training ends; None for never.
        optimizer: in place of SGD; its learning rate stays, and gradients are not clipped.
        frozen: layers that do not train; None for none.

    Attributes:
        tested: figures of the last evaluation, their names beginning with ``valid_`` and ``test_``.
        selection: with the best epoch on the validation part.
    """

    kind = "training"

    def __init__(
        self,
        network: nn.Module,
        data: UserSplit,
        *,
        test: UserSplit | None = None,
        valid: UserSplit | None = None,
        objective: Objective,
        weights: WeightsConfig,
        epochs: int,
        batch_size: int,
        seed: int,
        patience: int | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        frozen: Frozen | None = None,
    ):
        self.network, self.objective, self.weights, self.seed = network, objective, weights, seed
        self.data, self.judged, self.frozen = data, {"valid": valid, "test": test}, frozen
        self.epochs, self.planned, self.batch_size = epochs, epochs, data.batch_size or batch_size
        self.steps_per_epoch = data.steps(len(data), self.batch_size)
        self.evaluation_steps = sum(
            split.steps(len(split), self._batch_of(split), training=False) for split in self.judged.values() if split
        )
        self.attempt = 0
        self.optimizer = optimizer or weights_optimizer(network, weights)
        self.rates = [group["lr"] for group in optimizer.param_groups] if optimizer else None
        self.selection = BestEpoch(patience)
        self.tested: dict[str, float] = {}
        self._batches: Iterator[Any] = iter(())

    def _batch_of(self, split: UserSplit) -> int:
        """Return the number of examples of a batch that is evaluated."""
        return split.batch_size or 2 * self.batch_size

    def begin_epoch(self, epoch: int, step: int) -> None:
        slower = 0.5**self.attempt
        if self.rates is None:
            set_learning_rate(self.optimizer, self.weights.learning_rate(epoch, self.planned) * slower)
        else:
            for group, rate in zip(self.optimizer.param_groups, self.rates):
                group["lr"] = rate * slower
        self.network.train()
        if self.frozen is not None:
            self.frozen.keep_statistics()
        order = shuffled(torch.arange(len(self.data)), self.seed, epoch, self.attempt)
        self._batches = self.data.batches(order, self.batch_size, True, step)

    def step(self) -> Mapping[str, Tensor]:
        outcome = self.objective(self.network, next(self._batches))
        self.optimizer.zero_grad()
        outcome.descended.backward()
        if self.rates is None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.weights.clip)
        self.optimizer.step()
        return {"loss": outcome.loss.detach() * outcome.sums["images"], **outcome.sums}

    def end_epoch(self, epoch: int, report: ReportProgress) -> dict[str, Any]:
        self.tested = {}
        for part, split in self.judged.items():
            if split is None:
                continue
            means = evaluate(
                self.network,
                self.network,
                self.objective,
                split=split,
                indices=torch.arange(len(split)),
                batch_size=self._batch_of(split),
                report=report,
            )
            self.tested |= {f"{part}_{name}": mean for name, mean in means.items()}
        if self.judged["valid"] is not None:
            self.selection.note(epoch, self.tested, self.network)
            if self.selection.is_over:
                self.epochs = epoch + 1
        return self.tested

    def keep_best(self) -> int | None:
        """Give the network the weights of the best epoch, and return that epoch; None without a validation part."""
        kept = self.selection.kept
        if not kept:
            return None
        self.network.load_state_dict(kept["network"])
        self.tested = kept["figures"]
        return kept["epoch"]

    def replicas(self) -> Mapping[str, Tensor]:
        return {}

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "figures": self.tested,
            "selection": self.selection.state(),
            "epochs": self.epochs,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.selection.load_state(state["selection"])
        self.tested, self.epochs = dict(state["figures"]), state["epochs"]
