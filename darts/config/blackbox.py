"""The configuration of a search without gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from darts.config.data import DataConfig
from darts.config.fields import Resume
from darts.config.language import LanguageConfig
from darts.config.optimizers import WeightsConfig
from darts.config.ranges import POSITIVE, POSITIVE_SHARE, SEED
from darts.config.run import RunConfig
from darts.config.search import BenchmarkConfig
from darts.config.space import SearchSpaceConfig


@dataclass(frozen=True)
class BudgetConfig:
    """How much a search may evaluate; it ends where the first of these is reached."""

    trials: Annotated[int | None, POSITIVE, Resume.FREE] = None
    """Architectures to evaluate."""
    seconds: Annotated[float | None, POSITIVE, Resume.FREE] = None
    """Seconds of training: measured, or those that a benchmark has recorded."""
    total_epochs: Annotated[int | None, POSITIVE, Resume.FREE] = None
    """Epochs of training, summed over all architectures."""
    cpu_hours: Annotated[float | None, POSITIVE, Resume.FREE] = None
    """Hours of processor time, summed over cores and workers."""
    gpu_hours: Annotated[float | None, POSITIVE, Resume.FREE] = None
    """Hours of GPU time, summed over workers."""
    epochs: Annotated[int, POSITIVE] = 12
    """Epochs for which an architecture is trained; of a benchmark, one of the numbers that it has recorded, such as
    12 or 200 of NAS-Bench-201. With a scheduler, the largest number."""

    @property
    def hours(self) -> tuple[float | None, float | None]:
        """The limits of processor and GPU hours."""
        return self.cpu_hours, self.gpu_hours


@dataclass(frozen=True)
class StudyConfig:
    """Where the trials are recorded. Workers of one study are started with the same options, on any machine."""

    storage: Annotated[str | None, Resume.FREE] = None
    """sqlite:///FILE, journal:FILE, postgresql://USER@HOST/DATABASE or mysql://USER@HOST/DATABASE; by default study.db
    in the run's folder."""
    name: Annotated[str | None, Resume.FREE] = None
    """Name of a study that several workers share; it is also the name of the folder of their run."""

    @property
    def shared(self) -> bool:
        """Whether other workers may join."""
        return self.storage is not None or self.name is not None


@dataclass(frozen=True)
class LookupConfig(BenchmarkConfig):
    """A benchmark that judges architectures instead of training them."""

    data: Literal["cifar10", "cifar100", "imagenet16", "digits201"] = "cifar10"
    """Data set whose validation accuracy is searched by."""


@dataclass(frozen=True)
class BlackboxConfig:
    """A search without gradients."""

    language: ClassVar[LanguageConfig] = LanguageConfig()

    recipe: Annotated[tyro.conf.Suppress[str], Resume.FREE] = "random_digits"
    data: DataConfig = field(default_factory=DataConfig)
    space: SearchSpaceConfig = field(default_factory=SearchSpaceConfig)
    strategy: str = "random"
    """How architectures are chosen, with its options, such as evolution:population=20,sample=5: random, local_search,
    exhaustive, evolution, genetic, reinforce, enas, rsps, bananas, surrogate_descent, nsga2, pareto_local_search, tpe,
    gp, nsga2_optuna."""
    objectives: str = "accuracy"
    """The objectives of the search: accuracy, or several separated by commas, such as accuracy,multiply_adds. Accuracy
    is maximized (mean IoU or average precision, where images have masks or boxes); loss, parameters, multiply_adds,
    memory, latency and seconds are minimized. The first chooses the result."""
    limits: str | None = None
    """Largest allowed costs, such as parameters=200k,multiply_adds=3M: parameters, multiply_adds, memory (MB) and
    latency (ms). They are counted before training, and an architecture over a limit is not trained."""
    latencies: Path | None = None
    """Table of measured latencies of the trained networks (python -m supernet.cost.latency), by which latency is
    predicted; without one, each network is measured on the device of the search."""
    tune: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A field of the configuration that each trial chooses beside the architecture, such as weights.lr=log:1e-3..1e-1,
    weights.momentum=0.5..0.9:0.1 or batch_size=32,64,128; may be given several times."""
    scheduler: str = "none"
    """Which architectures are trained further, with its options, such as asha:eta=3,min_epochs=1: halving, hyperband,
    asha, bohb; none trains each for all epochs."""
    stoppers: tuple[str, ...] = ()
    """Rules that end a training early, asked after each epoch: median, curve (extrapolated learning curve)."""
    evaluator: str = "training"
    """How an architecture is judged, with its options: training, from scratch, on a part of the training set
    (training:folds=5: cross-validation); benchmark, looked up in a table; shared, by the weights of a supernet that is
    trained first for budget.epochs (shared:run=runs/X: by those of a search); proxy:NAME, an untrained network."""
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    study: StudyConfig = field(default_factory=StudyConfig)
    benchmark: LookupConfig = field(default_factory=LookupConfig)
    prior: tuple[Path, ...] = ()
    """Folders of earlier searches in the same space, on any data: the strategy begins with their best architectures."""
    weights: WeightsConfig = field(default_factory=lambda: WeightsConfig(lr_min=0.0))
    batch_size: Annotated[int, POSITIVE] = 64
    """Training examples of a step."""
    train_share: Annotated[float, POSITIVE_SHARE] = 0.5
    """Share of the training set that trains; the rest is the validation part. The test split is never used."""
    seed: Annotated[int, SEED] = 0
    """Seed of everything random: the strategy's draws, initial values, order of examples, augmentation."""
    seeds: Annotated[int, POSITIVE, Resume.FREE] = 1
    """Number of searches, with consecutive seeds; more than one with a benchmark only."""
    run: tyro.conf.OmitArgPrefixes[RunConfig] = field(default_factory=RunConfig)

    @property
    def strategy_name(self) -> str:
        """The strategy without its options."""
        return self.strategy.partition(":")[0]

    @property
    def evaluator_name(self) -> str:
        """The evaluator without its options; ``proxy`` for every proxy."""
        return self.evaluator.partition(":")[0]
