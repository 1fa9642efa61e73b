"""Retraining: the network of a genotype, from scratch, by the evaluation protocol of Liu et al. 2019, appendix A.2.

Axes: ``b`` example of the batch, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from darts.artifacts.checkpoint import save, write_atomically
from darts.config import RetrainConfig
from darts.data.dataset import DataSet
from darts.data.objective import Call
from darts.data.order import stratified
from darts.data.split import Batch, HostBatch, Split
from darts.errors import UserError
from darts.methods.space_factory import space_from
from darts.processes import SINGLE_PROCESS, Ranks
from darts.retraining.best_epoch import BestEpoch
from darts.retraining.classification import RetrainingClassification
from darts.retraining.inherit import inherited
from darts.retraining.start import Frozen, begin_with
from darts.retraining.weight_averaging import Averaging
from darts.training.cuda_graph import step_graph
from darts.training.device import autocast, fused_layers
from darts.training.distributed import average_statistics, synchronize_batchnorm
from darts.training.evaluate import ReportProgress, evaluate
from darts.training.hidden_state import HiddenState
from darts.training.microbatch import BatchPartition
from darts.training.objective import classification
from darts.training.state_form import load_optimizer
from darts.training.weights_optimizer import set_learning_rate, weights_optimizer
from genotypes import Genotype, describe, picture, schema_from, write
from supernet.cost.network import count
from supernet.fused.availability import fuse_layers
from supernet.network import count_parameters, dropping
from supernet.ops import draw_noise_from
from supernet.shapes import ImageShape

SHOWN = 8
"""Test examples whose predictions are shown."""


class RetrainTask:
    """Training of a derived network, as a task of the training loop.

    It trains on the whole training set, with an auxiliary head and drop path that grows linearly from 0, and tests
    after every epoch. The result is the last epoch's: nothing is selected on the test split. Where there is a
    validation part, the data set's own or a share that is held out, the network is also evaluated on that, and the
    result is that of the epoch with the best validation accuracy, or the lowest loss where there is no accuracy; it may
    end early.

    Attributes:
        tested: figures of the last epoch.
        selection: with the best epoch on the validation part.
        started: which layers began with another run's weights.
        parameters: number of the network's weights.
    """

    kind = "retrain"

    def __init__(
        self,
        config: RetrainConfig,
        genotype: Genotype,
        data: DataSet,
        device: torch.device,
        ranks: Ranks = SINGLE_PROCESS,
    ):
        self.config, self.genotype, self.data, self.ranks = config, genotype, data, ranks
        self.partition = BatchPartition(ranks, synchronized=config.run.sync_batchnorm, guarded=True)
        self.partition.release = lambda: self.graph.forget()
        self.space = space_from(config, shape=data.shape, genotype=genotype)
        self.network = self._new_network(device)
        self.optimizer = weights_optimizer(self.network, config.weights)
        self.generator = torch.Generator(device).manual_seed(config.seed)
        draw_noise_from(self.generator, self.network)
        self.autocast = autocast(device, config.run.precision)
        self.objective = data.objective or RetrainingClassification(config.label_smoothing, config.auxiliary)
        self.hidden = HiddenState(self.network)
        self.hidden.require_single_process(ranks)
        self.averaging = Averaging(self.network, config.average_after)
        self.train_part, self.valid_part = _parts(config, data)
        self.selection = BestEpoch(config.patience)
        self.epochs = config.epochs
        # BatchNorm cannot train on one image: where that would be the last batch, the epoch leaves it out.
        self._batches = data.train.steps(len(self.train_part), config.batch_size)
        single = data.objective is None and len(self.train_part) % config.batch_size == 1
        self.steps_per_epoch = self._batches - single
        self.evaluation_steps = sum(
            split.steps(len(part), 2 * config.batch_size, training=False) for _, split, part in self._evaluated()
        )
        self.attempt = 0
        self.parameters = count_parameters(self.network)
        self.keep = torch.ones((), device=device)
        self._compiled = torch.compile(self.network) if config.compile else self.network
        self.tested: dict[str, float] = {}
        self._rate = 0.0
        self._picks: Iterator[HostBatch] = iter(())
        self.graph = step_graph(
            config.run.graph,
            device,
            [self.generator, *data.train.generators],
            listener=self.partition.notify,
            ranks=ranks,
            hidden=self.hidden,
        )

    def _new_network(self, device: torch.device) -> nn.Module:
        """Return the network with its initial weights: drawn from the seed, or those of a search.

        Raises:
            UserError: where an option does not apply to the network.
        """
        config = self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            if config.inherit:
                network = inherited(config, self.genotype, self.data.shape)
            else:
                network = self.space.network(self.genotype, config.auxiliary > 0)
        self.started = begin_with(network, config.start)
        self.frozen = Frozen(network, config.freeze, self.started)
        network = network.to(device)
        self.paths: int | None = getattr(network, "paths", None)
        if config.drop_path and self.paths is None:
            given = f"`drop_path` is {config.drop_path:g}"
            raise UserError(f"{given}, but the network of this genotype has no paths to drop; set it to 0")
        if config.label_smoothing and self.data.objective is not None:
            given = f"`label_smoothing` is {config.label_smoothing:g}"
            raise UserError(f"{given}, but {self.data.name} is no classification; set it to 0")
        if fused_layers(config, device, network):
            fuse_layers(network, device)
        if config.run.sync_batchnorm:
            synchronize_batchnorm(network, self.ranks)
        return network

    def begin_epoch(self, epoch: int, step: int) -> None:
        config = self.config
        self._rate = config.weights.learning_rate(epoch, config.epochs) * 0.5**self.attempt
        set_learning_rate(self.optimizer, self._rate)
        self.keep.fill_(1 - config.drop_path * epoch / config.epochs)
        self.data.train.begin_epoch(epoch / config.epochs)
        self.network.train()
        self.frozen.keep_statistics()
        self._picks = self.data.train.endless_host_batches(
            self.train_part, config.batch_size, config.seed, first=epoch * self._batches + step, attempt=self.attempt
        )

    def step(self) -> Mapping[str, Tensor]:
        pick = next(self._picks)
        set_learning_rate(self.optimizer, self._rate * self.data.train.lr_scale(pick))
        return self.graph(self.update, pick, self.partition.graph_key)

    def update(self, *pick: Tensor) -> Mapping[str, Tensor]:
        """Take one step on the batch that the host prepared."""
        batch = self.data.train.load(*pick, training=True)
        batch, paths = self.hidden.attach("train", batch), self._drawn_paths(len(batch[0]))
        loss_of = partial(self._loss, drops=bool(paths))
        loss, sums = self.partition.backward(self.network, loss_of, (*batch, *paths))
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.weights.clip)
        self.optimizer.step()
        self.averaging.step()
        return {"loss": loss * sums["images"], **sums}

    def _drawn_paths(self, images: int) -> list[Tensor]:
        """Return the factor of each path for each image of this rank's shard, ``(b, paths)``: 0, or 1 / (1 - p).

        Every rank draws those of the whole batch at once. ``DropPath`` draws the same, one path at a time. The list is
        empty without drop path.
        """
        if not (self.config.drop_path and self.paths):
            return []
        size = images * self.ranks.count
        draws = torch.rand(size, self.paths, generator=self.generator, device=self.keep.device)
        mine = draws[self.ranks.shard(size, draws.device)] if self.ranks.count > 1 else draws
        return [(mine < self.keep) / self.keep]

    def _loss(self, batch: Batch, drops: bool) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        """Return the scalar to differentiate, the loss to report, and sums over the batch.

        Args:
            drops: whether the batch's last tensor is that of ``_drawn_paths``, for drop path.
        """
        network = self._compiled
        if drops:
            *batch, paths = batch
            network = partial(network, drop_path=dropping(paths))
        outcome = self.objective(self._cast(network), batch)
        return outcome.descended, outcome.loss, outcome.sums

    def _cast(self, network: Call) -> Call:
        def call(*inputs: Any, **options: Any) -> Any:
            with self.autocast:
                return network(*inputs, **options)

        return call

    def _evaluated(self) -> Iterator[tuple[str, Split, Tensor]]:
        """Yield the name of each part to evaluate on, its split and its examples, ``(n,)``."""
        if len(self.valid_part):
            yield "valid", self.data.train, self.valid_part
        yield "test", self.data.test, torch.arange(len(self.data.test))

    def end_epoch(self, epoch: int, report: ReportProgress) -> dict[str, Any]:
        average_statistics(self.network, self.ranks)
        self.tested = {}
        with self.averaging.applied():
            for name, split, indices in self._evaluated():
                means = evaluate(
                    self.network,
                    self._cast(self.network),
                    self.data.objective or classification,
                    split=split,
                    indices=indices,
                    batch_size=2 * self.config.batch_size,
                    report=report,
                    partition=self.partition,
                )
                self.tested |= {f"{name}_{figure}": mean for figure, mean in means.items()}
            if len(self.valid_part):
                self.selection.note(epoch, self.tested, self.network)
        if len(self.valid_part):
            self.averaging.note(self.tested["valid_loss"])
            if self.selection.is_over:
                self.epochs = epoch + 1
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
            "hidden_states": self.hidden.states,
            "averaging": self.averaging.state(),
            "selection": self.selection.state(),
            "epochs": self.epochs,
            "tested": self.tested,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.graph.forget()
        self.network.load_state_dict(state["network"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.generator.set_state(state["drop_path_generator"])
        self.data.train.load_state(state["data"])
        self.hidden.states = {
            stream: carried.to(self.keep.device) for stream, carried in state["hidden_states"].items()
        }
        self.averaging.load_state(state["averaging"])
        self.selection.load_state(state["selection"])
        self.tested, self.epochs = state["tested"], state["epochs"]

    def _multiply_adds(self) -> dict[str, int]:
        shape = self.data.shape
        return {"multiply_adds": count(self.network, shape).multiply_adds} if isinstance(shape, ImageShape) else {}

    def _inputs(self) -> dict[str, Any]:
        """Return what the network reads: the vocabulary; or the shape of images, and each channel's mean and deviation,
        by which they are normalized."""
        if not isinstance(self.data.shape, ImageShape):
            known = {"vocabulary": self.data.vocabulary, "target_vocabulary": self.data.target_vocabulary}
            return {name: dict(words) for name, words in known.items() if words}
        moments = self.data.test.moments()
        assert moments is not None, "splits of images are normalized"
        return {"shape": astuple(self.data.shape), **dict(zip(("mean", "std"), moments))}

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the files of a finished retraining: figures, weights, the genotype and its picture; return the
        figures."""
        kept = self.selection.kept
        tested = kept.get("figures", self.tested)
        figures = {
            **tested,
            **({"test_error": 1 - tested["test_accuracy"]} if "test_accuracy" in tested else {}),
            **({"kept_epoch": kept["epoch"]} if kept else {}),
            "parameters": self.parameters,
            **self._multiply_adds(),
            "data": self.data.name,
            **self.data.metadata(),
            "genotype": describe(self.genotype),
            "genotype_name": self.genotype.name,
            "genotype_hash": self.genotype.hash,
            "seed": self.config.seed,
            "epochs": self.epochs,
        }
        weights = kept.get("network", self.network.state_dict())
        save(folder / "weights.pt", {"kind": "weights", "network": weights, **self._inputs(), **self.data.metadata()})
        for file, content in (
            ("genotype.json", write(self.genotype, extra=schema_from(folder))),
            ("cells.svg", picture(self.genotype)),
            ("metrics.json", json.dumps(figures, indent=2) + "\n"),
        ):
            write_atomically(folder / file, content.encode())
        for name, shown in self._predictions(weights).items():
            write_atomically(folder / name, shown)
        return figures

    @torch.no_grad()
    def _predictions(self, weights: Mapping[str, Tensor]) -> dict[str, bytes]:
        """Return files that show what the network predicts on the first test examples: name -> content."""
        if self.data.objective is None:
            return {}
        batch = next(self.data.test.batches(torch.arange(min(SHOWN, len(self.data.test))), SHOWN, training=False))
        network = self.network.eval()
        call = self._cast(lambda *inputs: torch.func.functional_call(network, dict(weights), inputs))
        return self.data.objective.predictions(call, batch, self.data.classes)


def _parts(config: RetrainConfig, data: DataSet) -> tuple[Tensor, Tensor]:
    """Return the training and the validation part of the training split, ``(n,)`` indices; the latter may be empty.

    Raises:
        UserError: where the options do not fit the data.
    """
    indices = torch.arange(len(data.train))
    if config.valid_share:
        labels = data.train.class_labels()
        if data.valid or labels is None:
            has = "has a validation part of its own" if data.valid else "has no classes to divide it by"
            raise UserError(f"`valid_share` is {config.valid_share:g}, but {data.name} {has}: set it to 0")
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
        chosen = stratified(labels[order].cpu().numpy(), round(config.valid_share * len(labels)))
        held_out = torch.zeros(len(labels), dtype=torch.bool)
        held_out[order[chosen]] = True
        return indices[~held_out], indices[held_out]
    if config.patience is not None and not data.valid:
        raise UserError(f"`patience` is {config.patience}, but there is no validation part: set `valid_share`")
    train, valid = indices.tensor_split([len(indices) - data.valid])
    return train, valid
