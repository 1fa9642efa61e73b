"""The search space of a configuration: the one place where a configuration, a method and a stage become a space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

from darts.config import (
    BlackboxConfig,
    LanguageConfig,
    RetrainConfig,
    SearchConfig,
    SearchSpaceConfig,
    SpaceConfig,
)
from darts.errors import UserError
from darts.methods.method import Method, Stage
from genotypes import Genotype
from supernet.spaces import SPACES
from supernet.spaces.space import SearchSpace, SpaceOptions

DEFAULT_SPACE = "darts"

Allowed = Mapping[str, tuple[tuple[str, ...], ...]]
"""Table label -> each row's candidates."""

FIRST_STAGE = Stage()

EVERY_SPACE = ("name", "channels", "layers", "partial", "backend")
"""Fields of the configuration that apply to every space; the others belong to the spaces that have them."""


def space_from(
    config: SearchConfig | BlackboxConfig | RetrainConfig,
    *,
    shape: Any,
    method: Method | None = None,
    stage: Stage = FIRST_STAGE,
    allowed: Allowed | None = None,
    genotype: Genotype | None = None,
    language: LanguageConfig | None = None,
    make: Callable[[SpaceOptions], SearchSpace] | None = None,
) -> SearchSpace:
    """Return the space that a configuration describes, for a search or for the network of one genotype.

    Args:
        config: of a search, whose supernet will be built; or of a retraining, which builds one network.
        shape: of the data set's examples and answers.
        method: of the search, which may leave out candidates (``Method.without``).
        stage: of the method, which may change the depth and the share of channels that candidates see.
        allowed: table label -> the candidates of each row, where a stage has narrowed them.
        genotype: names the space where the configuration does not: the first whose genotypes are of this type.
        language: options of a language model, in place of the configuration's.
        make: builds the space, in place of the one that the configuration names.

    Raises:
        UserError: where the configuration names no known space.
        SpaceError: where the space does not support the options.
    """
    size, entry = config.space, SPACES[name_of(config, genotype)]
    options = SpaceOptions(
        shape=shape,
        channels=size.channels,
        layers=round(size.layers * stage.depth),
        without=method.without if method else (),
        partial=(size.partial if isinstance(size, SearchSpaceConfig) else None) or stage.partial,
        allowed=allowed or {},
        searching=isinstance(size, SearchSpaceConfig),
        own=entry.own_options(_given(size), offered={"dropouts": asdict((language or config.language).dropout)}),
    )
    return (make or entry.make)(options)


def _given(size: SpaceConfig) -> dict[str, Any]:
    """Return the options that were set, of those that not every space has."""
    own = [each for each in fields(size) if each.name not in EVERY_SPACE]
    return {each.name: getattr(size, each.name) for each in own if getattr(size, each.name) != each.default}


def name_of(config: SearchConfig | BlackboxConfig | RetrainConfig, genotype: Genotype | None = None) -> str:
    """Return the name of the configuration's space: a row of ``SPACES``.

    Raises:
        UserError: where there is no such row, or the genotype is of other spaces.
    """
    fitting = [name for name, row in SPACES.items() if isinstance(genotype, row.genotype)]
    name = config.space.name or (fitting[0] if fitting else DEFAULT_SPACE)
    if name not in SPACES:
        raise UserError(f"`space.name` is {name!r}; it must be one of {', '.join(SPACES)}")
    if genotype is not None and name not in fitting:
        raise UserError(f"`space.name` is {name}, which the genotype is not of: set it to {' or '.join(fitting)}")
    return name
