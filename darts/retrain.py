"""Retraining: the network of a genotype, from scratch, by the evaluation protocol of Liu et al. 2019, appendix A.2."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darts.checkpoint import save, write_atomically
from darts.config import RetrainConfig
from darts.data import DataSet, shuffled
from darts.device import autocast, check_fused
from darts.distributed import ALONE, Ranks, average_statistics, synchronize_batchnorm
from darts.errors import UserError
from darts.evaluate import Tell, accuracy_and_loss
from darts.gradients import Batch, Division
from darts.graph import StepGraph, set_learning_rate
from darts.inherit import inherited
from genotypes import schema_from
from genotypes.kinds import Genotype, describe, picture, write
from supernet.cost import count
from supernet.network import ImageShape, count_parameters
from supernet.ops import draw_noise_from
from supernet.spaces import SPACES
from supernet.spaces.space import SearchSpace, SpaceOptions


class RetrainTask:
    """Training of a derived network, as a task of the training loop.

    The whole training set, an auxiliary head, drop path that grows linearly from 0; tested after every epoch. The
    result is the last epoch's: nothing is selected on the test split.
    """

    kind = "retrain"

    def __init__(
        self,
        config: RetrainConfig,
        genotype: Genotype,
        data: DataSet,
        device: torch.device,
        ranks: Ranks = ALONE,
    ):
        self.config, self.genotype, self.data, self.ranks = config, genotype, data, ranks
        self.division = Division(ranks, synchronized=config.run.sync_batchnorm, guarded=True)
        self.division.release = lambda: self.graph.forget()
        self.space = space_of(config, genotype, data.shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            begun = inherited(config, genotype, data.shape) if config.inherit else None
            self.network = (begun or self.space.network(genotype, config.auxiliary > 0)).to(device)
        if config.drop_path and not hasattr(self.network, "paths"):
            said = f"--drop-path {config.drop_path:g}"
            raise UserError(f"{said}: the network of this genotype has no paths to drop; use --drop-path 0")
        if config.fused:
            check_fused(device, "--fused")
            from supernet.fused.separable import fuse

            fuse(self.network)
        if config.run.sync_batchnorm:
            synchronize_batchnorm(self.network, ranks)
        sgd = config.weights
        decay = dict(weight_decay=sgd.weight_decay, nesterov=sgd.nesterov)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), sgd.lr, sgd.momentum, **decay, fused=device.type == "cuda"
        )
        self.generator = torch.Generator(device).manual_seed(config.seed)
        draw_noise_from(self.generator, self.network)
        self.autocast = autocast(device, config.run.precision)
        self.epochs = config.epochs
        # One image by itself is no batch to BatchNorm: where it would be the last, the epoch goes without it.
        self.examples = len(data.train) - (len(data.train) % config.batch_size == 1)
        self.steps_per_epoch = -(-self.examples // config.batch_size)
        self.evaluation_steps = -(-len(data.test) // (2 * config.batch_size))
        self.attempt = 0
        self.parameters = count_parameters(self.network)
        self.paths = getattr(self.network, "paths", 0)
        self.keep = torch.ones((), device=device)
        self._called = torch.compile(self.network) if config.compile else self.network
        self.tested: dict[str, float] = {}
        self._picks: Iterator[tuple[Tensor, ...]] = iter(())
        drawn = [self.generator, *data.train.generators]
        self.graph = StepGraph(config.run.graph, device, drawn, tell=self.division.say)
        if ranks.count > 1:
            self.graph.refuse("several processes")

    def begin_epoch(self, epoch: int, step: int) -> None:
        config = self.config
        rate = config.weights.learning_rate(epoch, config.epochs) * 0.5**self.attempt
        set_learning_rate(self.optimizer, rate)
        self.keep.fill_(1 - config.drop_path * epoch / config.epochs)
        self.network.train()
        order = shuffled(torch.arange(len(self.data.train)), config.seed, epoch, self.attempt)[: self.examples]
        self._picks = self.data.train.picks(order, config.batch_size, True, step)

    def step(self) -> Mapping[str, Tensor]:
        return self.graph(self.update, next(self._picks), self.division.way)

    def update(self, *pick: Tensor) -> Mapping[str, Tensor]:
        """One step on the batch of a pick."""
        images, labels = self.data.train.load(*pick, training=True)
        batch = images, labels, *self._drawn_paths(len(labels))
        loss, sums = self.division.backward(self.network, self._loss, batch)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.weights.clip)
        self.optimizer.step()
        return {"loss": loss * sums["images"], **sums}

    def _drawn_paths(self, images: int) -> list[Tensor]:
        """The factor of each path for each image of this rank's share, ``(b, paths)``: 0, or 1 over the share kept.

        Drawn for the whole batch at once, by every rank. ``DropPath`` draws the same one path at a time.
        """
        if not (self.config.drop_path and self.paths):
            return []
        size = images * self.ranks.count
        draws = torch.rand(size, self.paths, generator=self.generator, device=self.keep.device)
        mine = draws[self.ranks.share(size, draws.device)] if self.ranks.count > 1 else draws
        return [(mine < self.keep) / self.keep]

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        """What is differentiated; the loss of the main head alone, and what its scores count."""
        images, labels, *paths = batch
        smoothing, weight = self.config.label_smoothing, self.config.auxiliary
        with self.autocast:
            out = self._called(images, **({"drop_path": _dropping(*paths)} if paths else {}))
        scores, auxiliary = out if weight else (out, None)
        loss = total = F.cross_entropy(scores.float(), labels, label_smoothing=smoothing)
        if auxiliary is not None:
            total = loss + weight * F.cross_entropy(auxiliary.float(), labels, label_smoothing=smoothing)
        count = torch.tensor(len(labels))
        return total, loss, {"accuracy": (scores.argmax(1) == labels).sum(), "images": count}

    def end_epoch(self, epoch: int, tell: Tell) -> dict[str, Any]:
        split = self.data.test, torch.arange(len(self.data.test)), 2 * self.config.batch_size
        average_statistics(self.network, self.ranks)
        with self.autocast:
            accuracy, loss = accuracy_and_loss(self.network, self.network, *split, tell, self.division)
        self.tested = {"test_loss": loss, "test_accuracy": accuracy}
        return self.tested

    def replicas(self) -> Mapping[str, Tensor]:
        return {"the last weights": list(self.network.parameters())[-1]}

    def state(self) -> dict[str, Any]:
        average_statistics(self.network, self.ranks)
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "drop_path_generator": self.generator.get_state(),
            "data": self.data.train.state(),
            "tested": self.tested,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.graph.forget()
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["drop_path_generator"])
        self.data.train.load_state(state["data"])
        self.tested = state["tested"]

    def _multiply_adds(self) -> dict[str, int]:
        shape = self.data.shape
        return {"multiply_adds": count(self.network, shape).multiply_adds} if isinstance(shape, ImageShape) else {}

    def _images(self) -> dict[str, Any]:
        """What images the network takes: their shape, and the moments of each channel by which they are normalized."""
        if not isinstance(self.data.shape, ImageShape):
            return {}
        moments = {name: torch.as_tensor(getattr(self.data.test, name)).tolist() for name in ("mean", "std")}
        return {"shape": astuple(self.data.shape), **moments}

    def write(self, folder: Path) -> dict[str, Any]:
        """The files of a finished retraining: figures, weights, the genotype and its picture."""
        figures = {
            **self.tested,
            "test_error": 1 - self.tested["test_accuracy"],
            "parameters": self.parameters,
            **self._multiply_adds(),
            "data": self.data.name,
            "genotype": describe(self.genotype),
            "genotype_name": self.genotype.name,
            "genotype_hash": self.genotype.hash,
            "seed": self.config.seed,
            "epochs": self.epochs,
        }
        save(folder / "weights.pt", {"kind": "weights", "network": self.network.state_dict(), **self._images()})
        for file, content in (
            ("genotype.json", write(self.genotype, schema_from(folder))),
            ("cells.svg", picture(self.genotype)),
            ("metrics.json", json.dumps(figures, indent=2) + "\n"),
        ):
            write_atomically(folder / file, content.encode())
        return figures


def _dropping(factors: Tensor) -> Callable[[Tensor], Tensor]:
    """What multiplies one path after the other by its column of ``(b, paths)``."""
    columns = iter(factors.unbind(1))
    return lambda x: x * next(columns).to(x.dtype)[:, None, None, None]


def space_of(config: RetrainConfig, genotype: Genotype, shape: Any) -> SearchSpace:
    """The space that builds the network of a genotype: the one that is named, or the first of such genotypes.

    Raises:
        UserError: where no such space is known.
        SpaceError: where it cannot be as the configuration wants it.
    """
    size = config.space
    fitting = [name for name, row in SPACES.items() if isinstance(genotype, row.genotype)]
    name = size.name or fitting[0]
    if name not in SPACES:
        raise UserError(f"--space.name is {name!r}; it must be one of {', '.join(SPACES)}")
    return SPACES[name].make(SpaceOptions(shape, size.channels, size.layers, stem=size.stem, searching=False))


class _Module(ModuleType):
    """The name of this module is a function too: ``darts.retrain(...)`` is ``darts.own.retrain(...)``."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return import_module("darts.own").retrain(*arguments, **options)  # it imports this module


sys.modules[__name__].__class__ = _Module
