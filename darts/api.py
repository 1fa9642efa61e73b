"""Searching in a network of your own, from your own script: ``darts.search`` and ``darts.retrain``.

    class Net(nn.Module):
        def __init__(self):
            ...
            self.conv = LayerChoice({"3x3": Conv(3), "5x5": Conv(5)}, label="kernel")

    result = darts.search(Net(), loader, method="darts")
    network = result.network()
    darts.retrain(network, loader)

Any loss will do: ``loss(network, batch)`` returns the batch's mean loss, where ``network`` is called as the model is.
Without one, batches are ``(inputs, labels)`` and the loss is the cross-entropy.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from darts.config import LogitsConfig, MethodConfig, RunConfig, SearchConfig, WeightsConfig, check, identity
from darts.data.dataset import DataSet
from darts.data.objective import Objective
from darts.data.order import shuffled
from darts.data.user_data import UserSplit, user_split
from darts.methods.compose import compose
from darts.oneshot.stages import Setting
from darts.oneshot.builder import make_search
from darts.training.device import choose_device
from darts.training.evaluate import ReportProgress, evaluate
from darts.training.loop import train
from darts.training.objective import UserLoss, classification
from genotypes.types.choices import ChoicesGenotype
from supernet.spaces.modules import ModuleSpace, refuse
from supernet.spaces.space import SpaceOptions

Loss = Callable[[Callable[..., Any], Any], Tensor]


@dataclass(frozen=True)
class SearchResult:
    """What a search in a model found.

    Attributes:
        genotype: label -> names of what was chosen; ``genotypes.write`` makes a JSON file of it.
        figures: losses of the last epoch, and what else was counted.
        space: of the model.
        supernet: with its trained weights.
    """

    genotype: ChoicesGenotype
    figures: Mapping[str, float]
    space: ModuleSpace
    supernet: nn.Module

    def network(self, inherit: bool = False) -> nn.Module:
        """The chosen network, a plain module without choices.

        Args:
            inherit: whether it begins with the searched weights; else with those that the model had before.
        """
        network = self.space.network(self.genotype, searched=inherit)
        if inherit:
            self.space.inherit(network, self.supernet, self.genotype)
        return network


def search(
    model: nn.Module,
    data: Any,
    method: str = "darts",
    loss: Loss | None = None,
    epochs: int = 20,
    batch_size: int = 64,
    weights: WeightsConfig | None = None,
    logits: LogitsConfig | None = None,
    train_share: float = 0.5,
    seed: int = 0,
    device: str = "auto",
    run: str | Path | None = None,
    verbose: bool = True,
) -> SearchResult:
    """Search a model's choices.

    Args:
        model: holds ``LayerChoice`` and ``InputChoice``; it is copied, not changed.
        data: a tuple of tensors, a data set, a ``DataLoader`` over one, or a list of batches.
        method: one of ``darts.methods.METHODS``, or a Python file that defines one.
        loss: (network, batch) -> mean loss; cross-entropy where not given.
        epochs: passes over the part of the data that trains the weights.
        batch_size: examples a step, where ``data`` is no loader with a batch size of its own.
        weights, logits: the settings of both optimizers.
        train_share: of the data, trains the weights; the rest trains the logits.
        seed: of the logits, the order of examples and the method's draws.
        device: cpu, cuda, ...; auto takes a GPU where there is one.
        run: a folder for the log, the curves and the checkpoints; an interrupted search of it goes on.
        verbose: whether to print a line for each epoch.

    Raises:
        SpaceError, UserError: in one line, before anything is trained, where model, data or method cannot work.
    """
    config = SearchConfig(
        recipe="own",
        method=MethodConfig(method),
        weights=weights or WeightsConfig(),
        logits=logits or LogitsConfig(),
        epochs=epochs,
        batch_size=batch_size,
        train_share=train_share,
        seed=seed,
        run=RunConfig(device=device, resume=run is not None),
    )
    chosen = choose_device(config.run)
    examples = user_split(data, chosen)
    config = replace(config, batch_size=examples.batch_size or batch_size)
    check(config)
    composed = compose(config)
    objective = UserLoss(loss) if loss else classification

    def make(options: SpaceOptions) -> ModuleSpace:
        refuse(options)
        return ModuleSpace(model, options.allowed)

    space = make(SpaceOptions(None))
    batch = next(examples.batches(torch.arange(min(len(examples), config.batch_size)), config.batch_size, False))
    space.check(lambda candidate: objective(candidate.to(chosen), batch))
    task = make_search(
        config,
        DataSet("own", None, examples, examples),
        chosen,
        method=composed,
        setting=Setting(None, make, objective),
    )
    with _folder(run) as folder:
        train(task, config.run, Path(folder), identity(config), _console(verbose))
    task.problem.supernet.eval()
    return SearchResult(task.genotype(), task.evaluated, ModuleSpace(model), task.problem.supernet)


def retrain(
    network: nn.Module,
    data: Any,
    test: Any = None,
    loss: Loss | None = None,
    epochs: int = 20,
    batch_size: int = 64,
    weights: WeightsConfig | None = None,
    seed: int = 0,
    device: str = "auto",
    run: str | Path | None = None,
    verbose: bool = True,
) -> dict[str, float]:
    """Train a network, such as ``result.network()``, in place.

    Args:
        test: data of the same forms, to evaluate on after each epoch; nothing is selected by it.
        data, loss, epochs, batch_size, weights, seed, device, run, verbose: as of ``search``.

    Returns:
        Means of the last epoch: of training, and of the test where there is one.
    """
    settings = RunConfig(device=device, resume=run is not None)
    chosen = choose_device(settings)
    splits = [user_split(part, chosen) for part in (data, test) if part is not None]
    objective = UserLoss(loss) if loss else classification
    schedule = weights or WeightsConfig(lr_min=0.0), epochs, batch_size, seed
    task = TrainingTask(network.to(chosen), splits, objective, *schedule)
    with _folder(run) as folder:
        train(task, settings, Path(folder), {"epochs": epochs, "seed": seed}, _console(verbose))
    return task.figures


class TrainingTask:
    """Training of any network by SGD, as a task of the training loop."""

    kind = "training"

    def __init__(
        self,
        network: nn.Module,
        splits: list[UserSplit],
        objective: Objective,
        weights: WeightsConfig,
        epochs: int,
        batch_size: int,
        seed: int,
    ):
        self.network, self.objective, self.weights, self.seed = network, objective, weights, seed
        self.data, *self.tests = splits
        self.epochs, self.batch_size = epochs, self.data.batch_size or batch_size
        self.steps_per_epoch = -(-len(self.data) // self.batch_size)
        self.evaluation_steps = sum(-(-len(split) // self._evaluated(split)) for split in self.tests)
        self.attempt = 0
        decay = dict(weight_decay=weights.weight_decay, nesterov=weights.nesterov)
        self.optimizer = torch.optim.SGD(network.parameters(), weights.lr, weights.momentum, **decay)
        self.figures: dict[str, float] = {}
        self._batches: Iterator[Any] = iter(())

    def begin_epoch(self, epoch: int, step: int) -> None:
        self.optimizer.param_groups[0]["lr"] = self.weights.learning_rate(epoch, self.epochs) * 0.5**self.attempt
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
        for split in self.tests:
            means = evaluate(
                self.network,
                self.network,
                self.objective,
                split=split,
                indices=torch.arange(len(split)),
                batch_size=self._evaluated(split),
                report=report,
            )
            self.figures = {f"test_{name}": mean for name, mean in means.items()}
        return self.figures

    def _evaluated(self, split: UserSplit) -> int:
        """Examples of a batch that is evaluated."""
        return split.batch_size or 2 * self.batch_size

    def replicas(self) -> Mapping[str, Tensor]:
        return {}

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "figures": self.figures}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.figures = state["figures"]


def _folder(run: str | Path | None) -> Any:
    """The run's folder; one that is gone afterwards where none is given."""
    return tempfile.TemporaryDirectory() if run is None else nullcontext(run)


def _console(verbose: bool) -> Console:
    return Console(soft_wrap=True, quiet=not verbose)
