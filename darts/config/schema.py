"""The configuration of a search and of a retraining: frozen, written beside every run, every field on the command line.

Recipes (``darts.recipes.registry``) are functions that return one. Values are checked before anything is trained.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro

from darts.config.language import LanguageConfig
from darts.errors import UserError

DataName = Literal[
    "digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "imagenet", "folder", "npz", "csv",
    "text", "ptb", "wikitext2",
]  # fmt: skip


@dataclass(frozen=True)
class DataConfig:
    """What to train on."""

    name: DataName = "digits"
    """The data set; folder is torchvision's ImageFolder layout, npz a file of arrays,
    csv one of sentences and labels, text running text: one file, or a folder of train, valid and test."""
    root: Path | None = None
    """The folder or file that holds it (digits needs none)."""
    download: bool = False
    """Get it if it is not there (torchvision's data sets)."""
    size: int | None = None
    """Side of the images of a folder in pixels; found out where not given."""
    crop_padding: int = 0
    """Zeros put around a training image before a random crop, in pixels."""
    flip: bool = False
    """Mirror half of the training images."""
    cutout: int = 0
    """Side of the square cut out of a training image, in pixels; 0 for none."""
    cutout_rises: bool = False
    """Its probability rises linearly with the epochs, from 0 to 1 (R-DARTS)."""
    jitter: bool = True
    """Vary brightness, contrast and colours of training images that are read from disk (ImageNet)."""
    workers: int = 4
    """Processes that decode images which do not fit into memory."""


@dataclass(frozen=True)
class SpaceConfig:
    """The network: its size, for a search or for a retraining."""

    channels: int = 16
    """Width of the first layers; of a recurrent network, of its hidden state."""
    layers: int = 8
    """Depth, in the space's unit: cells in all, or in each stage, or blocks."""
    stem: Literal["auto", "cifar", "imagenet", "imagenet_wide"] = "auto"
    """How an image enters: auto takes imagenet's, which divides its size by 8, from 96 pixels on; imagenet_wide is
    three times as wide, as in PC-DARTS's and DrNAS's supernets."""
    name: str | None = None
    """The search space; darts, or what the genotype is of, where not given."""


@dataclass(frozen=True)
class SearchSpaceConfig(SpaceConfig):
    """The supernet."""

    nodes: int | None = None
    """Nodes of what is searched; the space's own number where not given."""
    candidates: Literal["darts", "s1", "s2", "s3", "s4"] = "darts"
    """What an edge can be: DARTS's eight, or a reduced space of RobustDARTS."""
    partial: int | None = None
    """Candidates see one in so many channels; the method's own number where not given."""
    backend: Literal["auto", "reference", "batched", "fused"] = "auto"
    """Who computes the mixed operations; all give the same numbers."""


@dataclass(frozen=True)
class MethodConfig:
    """A search method, and the components that take the place of its own.

    A component is its name, or its name and options: gumbel:first=5,last=0.5 (``darts.methods.compose``).
    """

    name: str = "darts"
    """A method, or a Python file that defines one as METHOD: darts, pc_darts, pdarts, pdarts_cifar100, gdas, snas,
    fair_darts, darts_minus, sdarts_rs, sdarts_adv, robust_darts, robust_darts_ada, drnas, drnas_progressive,
    beta_darts, darts_pt, darts_pt_fixed, milenas, idarts, gaea, gaea_pc_darts, zarts, oles, sgas, sgas_2."""
    relax: str | None = None
    """How logits become gates: softmax, gumbel (GDAS), concrete (SNAS), sigmoid (Fair DARTS), dirichlet (DrNAS),
    simplex (GAEA)."""
    step: str | None = None
    """The logits' gradient: first_order, unrolled (DARTS's second order), unrolled_clipped (the same for recurrent
    cells), unrolled_exact, single_level (SNAS), mixed_level (MiLeNAS), neumann (iDARTS), monte_carlo (ZARTS)."""
    arch_optimizer: str | None = None
    """What moves the logits: adam, sgd (SNAS on one GPU), exponentiated (GAEA), identity (ZARTS)."""
    discretize: str | None = None
    """Which candidates are kept: top_edges, top_edges_of_all (SNAS), limited_skips (P-DARTS), threshold (Fair DARTS),
    perturbation (DARTS-PT), greedy (SGAS)."""
    edges: str | None = None
    """How whole edges are weighed: none, per_node (PC-DARTS), simplex (GAEA)."""
    penalties: tuple[str, ...] | None = None
    """What is added to the logits' loss: none, zero_one (Fair DARTS), beta_decay, towards_uniform (DrNAS), entropic
    (GAEA), resource (SNAS)."""
    perturb: str | None = None
    """What is done to the gates while weights train: none, random (SDARTS-RS), adversarial (SDARTS-ADV)."""
    skip: str | None = None
    """Auxiliary skip connections: none, falling (DARTS-)."""
    stages: tuple[str, ...] | None = None
    """Parts of the search, in turn: stage:share=0.5,warmup=0.4,partial=4,keep=3 and so on (``darts.methods.method.Stage``)."""
    every: int | None = None
    """The logits move in one of so many steps; the method's own number where not given."""
    without: tuple[str, ...] | None = None
    """Candidates of the space that are left out, as the candidate none; the method's own where not given."""
    callbacks: tuple[str, ...] | None = None
    """What acts beside both optimizations: none, operation_stopping (OLES), eigenvalue_stop (RobustDARTS)."""


@dataclass(frozen=True)
class WeightsConfig:
    """SGD for the network's weights."""

    lr: float = 0.025
    """Learning rate at the first epoch."""
    lr_min: float = 0.001
    """Learning rate that a cosine schedule ends at."""
    schedule: Literal["cosine", "exponential", "linear", "constant"] = "cosine"
    """How the learning rate falls, epoch by epoch."""
    gamma: float = 0.97
    """Factor of an epoch in the exponential schedule."""
    warmup: int = 0
    """Epochs in which the learning rate rises linearly."""
    horizon: int | None = None
    """Epochs that the schedule is made for, where it is cut short; those of the run where not given."""
    momentum: float = 0.9
    """Momentum."""
    nesterov: bool = False
    """Whether the momentum is Nesterov's."""
    weight_decay: float = 3e-4
    """L2 penalty."""
    clip: float = 5.0
    """Largest norm of the gradient over all weights."""

    def learning_rate(self, epoch: int, epochs: int) -> float:
        """At the given epoch, counted from 0."""
        epochs = self.horizon or epochs
        if self.schedule == "cosine":
            rate = self.lr_min + (self.lr - self.lr_min) * (1 + math.cos(math.pi * epoch / epochs)) / 2
        elif self.schedule == "exponential":
            rate = self.lr * self.gamma**epoch
        elif self.schedule == "linear":
            rate = self.lr * (1 - epoch / epochs)
        else:
            rate = self.lr
        return rate * min(1.0, (epoch + 1) / self.warmup) if self.warmup else rate


@dataclass(frozen=True)
class LogitsConfig:
    """Adam for the architecture's logits."""

    lr: float = 3e-4
    """Learning rate."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay of the running means."""
    weight_decay: float = 1e-3
    """L2 penalty."""
    scale: float = 1e-3
    """Standard deviation of the initial logits."""
    clip: float | None = None
    """Largest norm of the gradient over all logits; none where not given."""


@dataclass(frozen=True)
class RunConfig:
    """Where and how it runs. Changes nothing of what is computed, but for the device and precision."""

    name: str | None = None
    """Folder of the run under --runs; made from the recipe and seed where not given."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    resume: bool = False
    """Go on from the newest checkpoint of this run; start it where there is none."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 computes convolutions and products in 16 bits (autocast)."""
    channels_last: bool = True
    """Memory format of images."""
    deterministic: bool = True
    """Ask PyTorch for deterministic kernels, so that a seed gives the same run again."""
    report_every: int = 50
    """Steps between two lines of the log."""
    checkpoint_minutes: float = 10.0
    """Longest time between two checkpoints; there is one at every epoch's end anyhow."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints stay on disk."""
    max_steps: int | None = None
    """End early, after so many steps."""
    max_hours: float | None = None
    """End early, so that a checkpoint, an evaluation and the result are there after so many hours of training."""
    on_nan: Literal["stop", "rollback"] = "stop"
    """Where the loss is no number: stop, or go back to the last good checkpoint with half the learning rate and
    another order of examples, at most three times."""
    memory: str | None = None
    """Memory that training may take, as 8GB: batches are computed in so many parts that it suffices. BatchNorm then
    normalizes each part by itself."""
    sync_batchnorm: bool = False
    """Under torchrun, take BatchNorm's statistics over the images of all processes."""
    graph: Literal["auto", "on", "off"] = "auto"
    """Capture the step in a CUDA graph and replay it; the numbers are the same."""


@dataclass(frozen=True)
class SearchConfig:
    """A search."""

    recipe: tyro.conf.Suppress[str] = "digits"
    data: DataConfig = field(default_factory=DataConfig)
    space: SearchSpaceConfig = field(default_factory=SearchSpaceConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    language: LanguageConfig = field(default_factory=LanguageConfig)
    logits: LogitsConfig = field(default_factory=LogitsConfig)
    epochs: int = 50
    """Passes over the half of the training set that trains the weights."""
    batch_size: int = 64
    """Images a step, of each half."""
    collapse: Literal["warn", "stop", "off"] = "warn"
    """When the search collapses: say so, or also end it with the last genotype from before, or do not look."""
    collapse_skips: float = 0.5
    """Share of skip connections among the edges above which the search counts as collapsed."""
    collapse_growth: float = 1.3
    """Growth of the largest Hessian eigenvalue within four readings above which the search counts as collapsed."""
    eigenvalue_every: int = 0
    """Epochs between two readings of the eigenvalue; 0 for none. A reading costs some dozens of gradients."""
    candidates: int = 0
    """Retrain the genotypes of so many best epochs briefly, and keep the best of them; 0 for the method's own."""
    candidate_epochs: int = 20
    """Epochs of each such retraining."""
    drop_path: float = 0.0
    """Probability of dropping an edge of the supernet while it trains, reached linearly at the last epoch."""
    order: Literal["logits_first", "weights_first"] = "logits_first"
    """Which of both moves first in a step."""
    table: Path | None = None
    """A benchmark's CSV file (darts.table): the true accuracy, rank and regret of each epoch's result are told."""
    train_share: float = 0.5
    """Share of the training set that trains the weights; the rest trains the logits. 1 for searches of a single level,
    which are then evaluated on what they train on. A text's own validation part trains the logits whatever it is."""
    valid_share: float | None = None
    """Share that trains the logits, where it is not the rest; both are then shares of each class."""
    seed: int = 2
    """Of everything drawn: initial values, order of examples, augmentation."""
    run: tyro.conf.OmitArgPrefixes[RunConfig] = field(default_factory=RunConfig)


@dataclass(frozen=True)
class RetrainConfig:
    """Training a genotype from scratch."""

    recipe: tyro.conf.Suppress[str] = "digits"
    genotype: str | None = None
    """A library name (DARTS_V2, ...), an architecture string, a file, or a run's folder; the newest search where not
    given."""
    inherit: Path | None = None
    """A search's run whose weights the network begins with; new ones where not given."""
    data: DataConfig = field(default_factory=DataConfig)
    space: SpaceConfig = field(default_factory=SpaceConfig)
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    language: LanguageConfig = field(default_factory=LanguageConfig)
    epochs: int = 600
    """Passes over the training set."""
    batch_size: int = 96
    """Images a step."""
    auxiliary: float = 0.4
    """Weight of the auxiliary head's loss; 0 for no such head."""
    drop_path: float = 0.2
    """Probability of dropping a path, reached linearly at the last epoch."""
    compile: bool = False
    """Compile the network's training steps (torch.compile), which takes minutes at first."""
    fused: bool = False
    """Compute separable convolutions by fused kernels, on a GPU; the same numbers, but for rounding."""
    label_smoothing: float = 0.0
    """Share of the target spread over all classes."""
    average_after: int | None = None
    """Where there is a validation part: go on with the running mean of the weights as soon as its loss is above the
    best of more than so many epochs before; never where not given."""
    seed: int = 0
    """Of everything drawn: initial values, order of examples, augmentation, dropped paths."""
    run: tyro.conf.OmitArgPrefixes[RunConfig] = field(default_factory=RunConfig)


Config = SearchConfig | RetrainConfig

_POSITIVE = ("epochs", "batch_size", "space.channels", "space.layers", "space.nodes", "space.partial", "method.every",
             "weights.lr", "weights.horizon", "weights.clip", "logits.clip", "candidate_epochs", "run.report_every",
             "run.keep_checkpoints", "run.max_steps", "run.max_hours", "data.size", "language.vocabulary",
             "language.length", "language.streams")  # fmt: skip
_NOT_NEGATIVE = ("weights.lr_min", "weights.momentum", "weights.weight_decay", "weights.warmup", "logits.lr",
                 "logits.weight_decay", "logits.scale", "data.crop_padding", "data.cutout", "data.workers", "auxiliary",
                 "seed", "candidates", "collapse_growth", "eigenvalue_every", "run.checkpoint_minutes",
                 "language.spread", "language.activation", "language.slowness", "average_after")  # fmt: skip
_BELOW_ONE = ("drop_path", "label_smoothing", "weights.momentum", "language.halved", "language.dropout.embedding",
              "language.dropout.input", "language.dropout.output", "language.dropout.x",
              "language.dropout.hidden")  # fmt: skip


def check(config: Config) -> None:
    """Refuse values that cannot work.

    Raises:
        UserError: naming the first such field, its value and what is allowed.
    """
    for names, allowed, holds in (
        (_POSITIVE, "more than 0", lambda value: value > 0),
        (_NOT_NEGATIVE, "0 or more", lambda value: value >= 0),
        (_BELOW_ONE, "in [0, 1)", lambda value: 0 <= value < 1),
    ):
        for name in names:
            value = _get(config, name)
            if value is not None and not (math.isfinite(value) and holds(value)):
                raise UserError(f"{option(name)} is {value}; it must be {allowed}")
    if isinstance(config, RetrainConfig) and config.batch_size < 2:
        raise UserError(f"--batch-size is {config.batch_size}; BatchNorm needs 2 or more images")
    if not 0 < config.language.held_out < 0.5:
        raise UserError(f"--language.held-out is {config.language.held_out}; it must be in (0, 0.5)")
    if isinstance(config, SearchConfig):
        if not 0 <= config.collapse_skips <= 1:
            raise UserError(f"--collapse-skips is {config.collapse_skips}; it must be in [0, 1]")
        if not 0 < config.train_share <= 1:
            raise UserError(f"--train-share is {config.train_share}; it must be more than 0 and at most 1")
        share = config.valid_share
        if share is not None and not (share > 0 and config.train_share + share < 1 + 1e-9):
            both = f"at most 1 together with --train-share, which is {config.train_share}"
            raise UserError(f"--valid-share is {share}; it must be more than 0, and {both}")


def option(name: str) -> str:
    """A field's name as it is typed on the command line."""
    return "--" + name.removeprefix("run.").replace("_", "-")


def _get(config: Any, name: str) -> Any:
    for part in name.split("."):
        config = getattr(config, part, None)
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """As JSON can hold it."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def identity(config: Config) -> dict[str, Any]:
    """What of a configuration determines the numbers: a checkpoint of another identity is not resumed."""
    content = flat(to_dict(config))
    free = {"recipe", "data.root", "data.download", "data.workers", "space.backend", "table", "candidates"}
    free |= {"candidate_epochs"}
    kept = {"run.device", "run.precision", "run.channels_last", "run.deterministic", "run.sync_batchnorm"}
    return {key: value for key, value in content.items() if key not in free and (key[:4] != "run." or key in kept)}


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one, by dotted names."""
    found = {}
    for key, value in content.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
