"""Judged with the weights of a supernet that all architectures share, without training any of them.

The network of a genotype gets its weights from the supernet; it equals the supernet under the genotype's one-hot gates.
The running statistics of the supernet's BatchNorm mix those of all architectures, which changes scores by several
points; so each evaluation takes statistics of its own, and says which.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from darts.benchmarks.protocol import Score
from darts.blackbox.evaluators.evaluator import EvaluatorOptions, Problem, Setting
from darts.blackbox.evaluators.supernet_training import train_supernet
from darts.blackbox.points import ArchitectureDecisions
from darts.config.blackbox import BlackboxConfig
from darts.config.ranges import choose, require
from darts.data.dataset import DataSet
from darts.data.objective import Call
from darts.errors import UserError
from darts.retraining.evaluator import Budget, Evaluator, Trial
from darts.retraining.fingerprint import checked_fingerprint
from darts.retraining.inherit import TrainedSupernet, load_supernet
from darts.training.device import autocast
from darts.training.evaluate import evaluate
from darts.training.hidden_state import HiddenState
from darts.training.objective import classification
from genotypes import Genotype
from supernet.network import count_parameters
from supernet.ops import BatchNorm

STATISTICS = {"batch": "statistics of each batch", "recalibrated": "running statistics of the architecture alone"}
"""Statistics that BatchNorm normalizes by -> how a trial's record says it."""


@dataclass(frozen=True)
class SharedWeights(EvaluatorOptions):
    """Judges architectures by a supernet's weights on examples that did not train it.

    ``run``: the folder of a search with gradients, or of a supernet that an earlier search without gradients has
    trained; without it, a supernet is trained first, for ``budget.epochs``, on paths that the strategy's controller
    samples, or else uniformly. ``statistics``: BatchNorm takes those of each batch, or running ones that are
    recalibrated for each architecture on ``batches`` batches of training examples.
    """

    run: str = ""
    statistics: str = "batch"
    batches: int = 20
    shares_weights: ClassVar[bool] = True

    def __post_init__(self) -> None:
        choose(self, statistics=STATISTICS)
        require(self, from_1=("batches",))

    def problem(self, config: BlackboxConfig, setting: Callable[[], Setting]) -> Problem:
        """Return the problem of judging by shared weights; a supernet that is to be trained is trained here.

        Raises:
            UserError: where the run holds no search, or one of another space or data set; where the space has no
                supernet; where several workers would train one.
        """
        if config.study.shared and not self.run:
            raise UserError(
                "`evaluator` shared would train a supernet in each worker: train one first, and set its run"
            )
        opened = setting()
        strategy = None
        if self.run:
            trained = load_supernet(Path(self.run), opened.data.shape, "`evaluator` run", config.language)
            _check_same(self.run, trained, config)
        else:
            trained, strategy = train_supernet(opened)
        decisions = ArchitectureDecisions(trained.space)
        return Problem(decisions, self._evaluator(opened, trained), opened.costs(), strategy)

    def _evaluator(self, setting: Setting, trained: TrainedSupernet) -> Shared:
        data, search = setting.data, trained.search
        train, valid = data.search_split(search.train_share, search.valid_share)
        precision = autocast(setting.device, setting.config.run.precision)
        size = setting.config.batch_size
        return Shared(trained, data, train, valid, setting.device, precision, size, self.statistics, self.batches)


@dataclass(frozen=True)
class Shared(Evaluator):
    """Judges by shared weights.

    Attributes:
        trained: the supernet.
        data: whose training set has the examples.
        train_indices, valid_indices: those that BatchNorm is recalibrated on, and those that judge, ``(n,)``.
        device: that computes.
        autocast: the context in which networks are called.
        batch_size: examples of a batch.
        statistics: that BatchNorm normalizes by, of ``STATISTICS``.
        batches: that recalibrate it.
    """

    trained: TrainedSupernet
    data: DataSet
    train_indices: Tensor
    valid_indices: Tensor
    device: torch.device
    autocast: AbstractContextManager
    batch_size: int
    statistics: str = "batch"
    batches: int = 20

    def __call__(self, genotype: Genotype, budget: Budget, trial: Trial) -> Score:
        """Return loss and accuracy on the validation examples, and the parameters of the network that was built."""
        began = time.monotonic()
        space = self.trained.space
        with torch.random.fork_rng(devices=[]):
            network = space.network(genotype, searched=True)
        space.inherit(network, self.trained.supernet, genotype)
        network.to(self.device)
        norms = [module for module in network.modules() if isinstance(module, BatchNorm | _BatchNorm)]
        if self.statistics == "recalibrated":
            self._recalibrate(network, norms)

        def call(*inputs: Any, **named: Any) -> Any:
            if self.statistics == "batch":
                for norm in norms:
                    norm.train()
            with self.autocast:
                return network(*inputs, **named)

        means = evaluate(
            network,
            call,
            self.data.objective or classification,
            split=self.data.train,
            indices=self.valid_indices,
            batch_size=2 * self.batch_size,
            report=lambda done, batches: None,
        )
        values = {f"valid_{name}": mean for name, mean in means.items()} | {"parameters": count_parameters(network)}
        notes = {
            "network": checked_fingerprint(network, space, genotype, searched=True),
            "batch_norm": STATISTICS[self.statistics] if norms else "none",
        }
        return Score(values, time.monotonic() - began, notes)

    def _recalibrate(self, network: nn.Module, norms: Sequence[BatchNorm | _BatchNorm]) -> None:
        """Set the running statistics to the mean over some batches of those of each batch."""
        network.eval()
        hidden, objective = HiddenState(network), self.data.objective or classification
        call: Call = network
        batches = self.data.train.batches(self.train_indices, self.batch_size, training=False)
        with torch.no_grad(), self.autocast:
            for number, batch in zip(range(1, self.batches + 1), batches):
                for norm in norms:
                    norm.train()
                    norm.momentum = 1 / number
                objective(call, hidden.attach("evaluated", batch))


def _check_same(run: str, trained: TrainedSupernet, config: BlackboxConfig) -> None:
    """Refuse a supernet of another space or data set than the configuration's."""
    search = trained.search
    for field, theirs, ours in (
        ("space.name", search.space.name or "darts", config.space.name or "darts"),
        ("data.name", search.data.name, config.data.name),
    ):
        if theirs != ours:
            raise UserError(
                f"`{field}` is {ours}; the supernet of {run} was trained with {theirs}: set `{field}` {theirs}"
            )
