"""The configuration of a search."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from darts.config.data import DataConfig
from darts.config.fields import Resume
from darts.config.language import LanguageConfig
from darts.config.method import MethodConfig
from darts.config.optimizers import LogitsConfig, WeightsConfig
from darts.config.ranges import BELOW_1, NOT_NEGATIVE, POSITIVE, POSITIVE_SHARE, SEED, SHARE
from darts.config.run import RunConfig
from darts.config.space import SearchSpaceConfig


@dataclass(frozen=True)
class BenchmarkConfig:
    """A benchmark that knows the accuracy of every architecture."""

    name: Annotated[str | None, Resume.FREE, tyro.conf.arg(aliases=("--benchmark",))] = None
    """A benchmark whose table comes with the project: digits201, NAS-Bench-201's cells on the digits."""
    file: Annotated[Path | None, Resume.FREE, tyro.conf.arg(aliases=("--table",))] = None
    """Table of known accuracies: the CSV file of NAS-Bench-201 (darts.table) or NAS-Bench-Macro, or the TFRecord file
    of NAS-Bench-101. The log of a search then has the true accuracy, rank and regret of every epoch's genotype."""


@dataclass(frozen=True)
class DeploymentConfig:
    """The networks whose costs count, for limits and for penalties of costs: those that are trained in the end."""

    channels: Annotated[int | None, POSITIVE] = None
    """Their width; by default the search's."""
    layers: Annotated[int | None, POSITIVE] = None
    """Their depth; by default the search's."""
    batch: Annotated[int, POSITIVE] = 1
    """Examples of a forward pass, for memory."""
    latencies: Path | None = None
    """Table of measured latencies of these networks (python -m supernet.cost.latency)."""


@dataclass(frozen=True)
class SearchConfig:
    """A search."""

    language: ClassVar[LanguageConfig] = LanguageConfig()
    """For the language models among the spaces; an option in ``LanguageSearchConfig``."""

    recipe: Annotated[tyro.conf.Suppress[str], Resume.FREE] = "digits"
    data: DataConfig = field(default_factory=DataConfig)
    space: SearchSpaceConfig = field(default_factory=SearchSpaceConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    logits: LogitsConfig = field(default_factory=LogitsConfig)
    benchmark: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    limits: str | None = None
    """Largest allowed costs of the derived network, such as parameters=3M,multiply_adds=500M,latency=5ms,memory=2MB.
    The genotype is then the most probable one within them."""
    deployment: DeploymentConfig = field(default_factory=DeploymentConfig)
    start: Path | None = None
    """Folder of a search whose trained supernet this one begins with, layer by layer where shapes agree."""
    prior: tuple[Path, ...] = ()
    """Folders of earlier searches in the same space, on any data: the logits begin higher for what these found."""
    epochs: Annotated[int, POSITIVE] = 50
    """Passes over the part of the training set that trains the weights."""
    batch_size: Annotated[int, POSITIVE] = 64
    """Training examples of a step, and as many validation examples."""
    collapse: Literal["warn", "stop", "off"] = "warn"
    """When the search collapses (skip connections everywhere, or no path through the cell): warn, or also stop with the
    last genotype before the collapse; off does not look for it."""
    collapse_skips: Annotated[float, SHARE] = 0.5
    """Share of skip connections among the edges above which the search counts as collapsed."""
    collapse_growth: Annotated[float, NOT_NEGATIVE] = 1.3
    """Growth of the largest Hessian eigenvalue within four readings above which the search counts as collapsed."""
    eigenvalue_every: Annotated[int, NOT_NEGATIVE] = 0
    """Epochs between two readings of the eigenvalue, each at the cost of some dozens of gradients; 0 for none."""
    rerank: Annotated[int, NOT_NEGATIVE, Resume.FREE, tyro.conf.arg(aliases=("--candidates",))] = 0
    """Retrain the genotypes of this many best epochs briefly and keep the best; 0 keeps the method's own choice."""
    rerank_epochs: Annotated[int, POSITIVE, Resume.FREE, tyro.conf.arg(aliases=("--candidate-epochs",))] = 20
    """Epochs of each of these retrainings."""
    drop_path: Annotated[float, BELOW_1] = 0.0
    """Probability of dropping an edge of the supernet while it trains; rises linearly to this value (DropPath)."""
    order: Literal["logits_first", "weights_first", "together"] = "logits_first"
    """Which of the two is updated first in a step; together takes both gradients at the same values, with the same
    sampled gates."""
    train_share: Annotated[float, POSITIVE_SHARE] = 0.5
    """Share of the training set that trains the weights; the rest trains the logits. 1 for single-level searches,
    which are then evaluated on their training examples. The logits of a search on running text train on its
    validation part whatever this is."""
    valid_share: Annotated[float | None, POSITIVE] = None
    """Share that trains the logits, where that is not all of the rest; both are then shares of each class."""
    seed: Annotated[int, SEED] = 2
    """Seed of everything random: initial values, order of examples, augmentation."""
    run: tyro.conf.OmitArgPrefixes[RunConfig] = field(default_factory=RunConfig)


@dataclass(frozen=True)
class LanguageSearchConfig(SearchConfig):
    """A search of a language model on running text."""

    language: LanguageConfig = field(default_factory=LanguageConfig)  # type: ignore[misc]
