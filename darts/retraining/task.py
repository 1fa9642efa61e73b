"""Retraining: the network of a genotype, from scratch, by the evaluation protocol of Liu et al. 2019, appendix A.2."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darts.artifacts.checkpoint import canonical, save, write_atomically
from darts.config.schema import RetrainConfig
from darts.data.dataset import DataSet, Images, endless_picks, lr_scale, steps
from darts.errors import UserError
from darts.retraining.inherit import inherited
from darts.retraining.weight_averaging import Averaging
from darts.training.cuda_graph import StepGraph, set_learning_rate
from darts.training.device import autocast, check_fused
from darts.training.distributed import SINGLE_PROCESS, Ranks, average_statistics, synchronize_batchnorm
from darts.training.evaluate import Tell, evaluate
from darts.training.hidden_state import HiddenState
from darts.training.microbatch import Batch, BatchPartition
from darts.training.objective import Call, Outcome, classification
from genotypes import schema_from
from genotypes.formats.registry import Genotype, describe, picture, write
from supernet.cost.network import count
from supernet.network import ImageShape, count_parameters
from supernet.ops import draw_noise_from
from supernet.spaces import SPACES
from supernet.spaces.space import SearchSpace, SpaceOptions


class RetrainTask:
    """Training of a derived network, as a task of the training loop.

    The whole training set, an auxiliary head, drop path that grows linearly from 0; tested after every epoch. The
    result is the last epoch's: nothing is selected on the test split. A data set with a validation part of its own is
    also evaluated on that, and the result is that of the epoch of the lowest validation loss.

    Attributes:
        tested: figures of the last epoch.
        kept: the figures, the weights and the number of the best epoch by validation, counted from 1; empty without.
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
        self.space = space_of(config, genotype, data.shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            begun = inherited(config, genotype, data.shape) if config.inherit else None
            self.network = (begun or self.space.network(genotype, config.auxiliary > 0)).to(device)
        if config.drop_path and not hasattr(self.network, "paths"):
            said = f"--drop-path {config.drop_path:g}"
            raise UserError(f"{said}: the network of this genotype has no paths to drop; use --drop-path 0")
        if config.label_smoothing and data.objective is not None:
            said = f"--label-smoothing {config.label_smoothing:g}"
            raise UserError(f"{said}: {data.name} is no classification; use --label-smoothing 0")
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
        self.objective, self.hidden = data.objective or self._classified, HiddenState(self.network)
        if ranks.count > 1 and self.hidden.is_stateful:
            raise UserError("a hidden state is carried from batch to batch, in one process only: leave torchrun out")
        self.averaging = Averaging(self.network, config.average_after)
        examples = torch.arange(len(data.train))
        self.train_part, self.valid_part = examples.tensor_split([len(examples) - data.valid])
        self.epochs = config.epochs
        # One image by itself is no batch to BatchNorm: where it would be the last, the epoch goes without it.
        self._batches = steps(data.train, len(self.train_part), config.batch_size)
        self.steps_per_epoch = self._batches - (
            data.objective is None and len(self.train_part) % config.batch_size == 1
        )
        self.evaluation_steps = sum(
            steps(split, len(indices), 2 * config.batch_size, training=False) for _, split, indices in self._evaluated()
        )
        self.attempt = 0
        self.parameters = count_parameters(self.network)
        self.paths = getattr(self.network, "paths", 0)
        self.keep = torch.ones((), device=device)
        self._called = torch.compile(self.network) if config.compile else self.network
        self.tested: dict[str, float] = {}
        self.kept: dict[str, Any] = {}
        self._step, self._rate = 0, 0.0
        self._picks: Iterator[tuple[Tensor, ...]] = iter(())
        drawn = [self.generator, *data.train.generators]
        self.graph = StepGraph(config.run.graph, device, drawn, tell=self.partition.say)
        if ranks.count > 1:
            self.graph.refuse("several processes")
        if self.hidden.is_stateful:
            self.graph.refuse("a hidden state is carried from batch to batch, of several lengths")

    def begin_epoch(self, epoch: int, step: int) -> None:
        config = self.config
        self._rate = config.weights.learning_rate(epoch, config.epochs) * 0.5**self.attempt
        set_learning_rate(self.optimizer, self._rate)
        self.keep.fill_(1 - config.drop_path * epoch / config.epochs)
        self.data.train.begin_epoch(epoch / config.epochs)
        self.network.train()
        first = epoch * self._batches + step
        order = self.train_part, config.batch_size, config.seed
        self._picks = endless_picks(self.data.train, *order, first, self.attempt)

    def step(self) -> Mapping[str, Tensor]:
        pick = next(self._picks)
        set_learning_rate(self.optimizer, self._rate * lr_scale(self.data.train, pick))
        return self.graph(self.update, pick, self.partition.way)

    def update(self, *pick: Tensor) -> Mapping[str, Tensor]:
        """One step on the batch of a pick."""
        batch = self.data.train.load(*pick, training=True)
        batch = (*self.hidden.attach("train", batch), *self._drawn_paths(len(batch[0])))
        loss, sums = self.partition.backward(self.network, self._loss, batch)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.weights.clip)
        self.optimizer.step()
        self.averaging.step()
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
        """What is differentiated; the loss to show; what is counted."""
        outcome = self.objective(self._cast(self._called), batch)
        return outcome.descended, outcome.loss, outcome.sums

    def _cast(self, network: nn.Module) -> Call:
        def call(*inputs: Any, **options: Any) -> Any:
            with self.autocast:
                return network(*inputs, **options)

        return call

    def _classified(self, network: Call, batch: Batch) -> Outcome:
        """Cross-entropy of the main head and, as what is descended beside it, of the auxiliary head."""
        images, labels, *paths = batch
        smoothing, weight = self.config.label_smoothing, self.config.auxiliary
        out = network(images, **({"drop_path": _dropping(*paths)} if paths else {}))
        scores, auxiliary = out if weight else (out, None)
        loss = F.cross_entropy(scores.float(), labels, label_smoothing=smoothing)
        extra = None
        if auxiliary is not None:
            extra = weight * F.cross_entropy(auxiliary.float(), labels, label_smoothing=smoothing)
        return Outcome(
            loss, {"accuracy": (scores.argmax(1) == labels).sum(), "images": torch.tensor(len(labels))}, extra
        )

    def _evaluated(self) -> Iterator[tuple[str, Images, Tensor]]:
        """What is evaluated: its name, the split, its examples."""
        if len(self.valid_part):
            yield "valid", self.data.train, self.valid_part
        yield "test", self.data.test, torch.arange(len(self.data.test))

    def end_epoch(self, epoch: int, tell: Tell) -> dict[str, Any]:
        average_statistics(self.network, self.ranks)
        network = self.network, self._cast(self.network), self.data.objective or classification
        self.tested = {}
        with self.averaging.applied():
            for name, split, indices in self._evaluated():
                means = evaluate(*network, split, indices, 2 * self.config.batch_size, tell, self.partition)
                self.tested |= {f"{name}_{figure}": mean for figure, mean in means.items()}
            loss = self.tested.get("valid_loss")
            if loss is not None and loss <= min([loss, *self.averaging.losses]):
                weights = canonical(self.network.state_dict())
                self.kept = {"epoch": epoch + 1, "figures": self.tested, "network": weights}
        if loss is not None:
            self.averaging.note(loss)
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
            "tested": self.tested,
            "kept": self.kept,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.graph.forget()
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["drop_path_generator"])
        self.data.train.load_state(state["data"])
        self.hidden.states = {
            stream: carried.to(self.keep.device) for stream, carried in state["hidden_states"].items()
        }
        self.averaging.load_state(state["averaging"])
        self.tested, self.kept = state["tested"], state["kept"]

    def _multiply_adds(self) -> dict[str, int]:
        shape = self.data.shape
        return {"multiply_adds": count(self.network, shape).multiply_adds} if isinstance(shape, ImageShape) else {}

    def _inputs(self) -> dict[str, Any]:
        """What the network takes: the numbers of words; or the shape of images, and the moments of each channel by
        which they are normalized."""
        if not isinstance(self.data.shape, ImageShape):
            return {"vocabulary": dict(self.data.vocabulary)} if self.data.vocabulary else {}
        moments = {name: torch.as_tensor(getattr(self.data.test, name)).tolist() for name in ("mean", "std")}
        return {"shape": astuple(self.data.shape), **moments}

    def write(self, folder: Path) -> dict[str, Any]:
        """The files of a finished retraining: figures, weights, the genotype and its picture."""
        tested = self.kept.get("figures", self.tested)
        figures = {
            **tested,
            **({"test_error": 1 - tested["test_accuracy"]} if "test_accuracy" in tested else {}),
            **({"kept_epoch": self.kept["epoch"]} if self.kept else {}),
            "parameters": self.parameters,
            **self._multiply_adds(),
            "data": self.data.name,
            "genotype": describe(self.genotype),
            "genotype_name": self.genotype.name,
            "genotype_hash": self.genotype.hash,
            "seed": self.config.seed,
            "epochs": self.epochs,
        }
        weights = self.kept.get("network", self.network.state_dict())
        save(folder / "weights.pt", {"kind": "weights", "network": weights, **self._inputs()})
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
    dropouts = asdict(config.language.dropout)
    options = SpaceOptions(shape, size.channels, size.layers, stem=size.stem, searching=False, dropouts=dropouts)
    return SPACES[name].make(options)
