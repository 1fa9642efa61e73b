"""The configuration of training a genotype from scratch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from darts.config.data import DataConfig
from darts.config.fields import Resume
from darts.config.language import LanguageConfig
from darts.config.optimizers import WeightsConfig
from darts.config.ranges import BELOW_1, NOT_NEGATIVE, POSITIVE, SEED
from darts.config.run import RunConfig
from darts.config.space import SpaceConfig


@dataclass(frozen=True)
class RetrainConfig:
    """Training a genotype from scratch."""

    language: ClassVar[LanguageConfig] = LanguageConfig()
    """For the language models among the spaces; an option in ``LanguageRetrainConfig``."""

    recipe: Annotated[tyro.conf.Suppress[str], Resume.FREE] = "digits"
    genotype: str | None = None
    """The genotype: a name of the library (DARTS_V2, ...), a file, a run's folder, or an architecture string; by
    default the result of the newest search."""
    inherit: Path | None = None
    """Folder of a search whose trained weights the network starts from; by default it starts from random weights."""
    start: Path | None = None
    """Folder of a training, on any data, with whose weights the network starts, layer by layer where shapes agree."""
    freeze: tuple[str, ...] = ()
    """Layers that do not train, by the beginnings of their names, such as stem or cells.0; started means all that start
    with the weights of another run. For fine-tuning."""
    data: DataConfig = field(default_factory=DataConfig)
    space: SpaceConfig = field(default_factory=SpaceConfig)
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    epochs: Annotated[int, POSITIVE] = 600
    """Passes over the training set."""
    batch_size: Annotated[int, POSITIVE] = 96
    """Training examples of a step."""
    auxiliary: Annotated[float, NOT_NEGATIVE] = 0.4
    """Weight of the auxiliary head's loss; 0 for no auxiliary head."""
    drop_path: Annotated[float, BELOW_1] = 0.2
    """Probability of dropping a path; rises linearly to this value (DropPath)."""
    compile: bool = False
    """Compile the network's training steps (torch.compile), which takes minutes at the start."""
    fused: bool | Literal["auto"] = "auto"
    """Compute separable convolutions, factorized reductions and 1x1 convolutions by fused kernels: Triton's on a GPU,
    C++ functions on a CPU, which are compiled once. The results are the same but for rounding. auto is True on a CPU
    with a C++ compiler, in float32; on a GPU the library's kernels are faster."""
    label_smoothing: Annotated[float, BELOW_1] = 0.0
    """Label smoothing: the share of the target that is spread over all classes."""
    average_after: Annotated[int | None, NOT_NEGATIVE] = None
    """Average the weights (ASGD) as soon as the validation loss is above the best of all epochs but this many last
    ones; by default never. Needs a validation part."""
    valid_share: Annotated[float, BELOW_1] = 0.0
    """Share of the training set that is held out for validation; the result is then the best epoch's. 0, as in the
    papers, trains on all and takes the last epoch."""
    patience: Annotated[int | None, POSITIVE] = None
    """Early stopping: end after this many epochs without a better validation result; by default never. Needs a
    validation part."""
    seed: Annotated[int, SEED] = 0
    """Seed of everything random: initial values, order of examples, augmentation, dropped paths."""
    run: tyro.conf.OmitArgPrefixes[RunConfig] = field(default_factory=RunConfig)


@dataclass(frozen=True)
class LanguageRetrainConfig(RetrainConfig):
    """Training a language model from scratch."""

    language: LanguageConfig = field(default_factory=LanguageConfig)  # type: ignore[misc]
