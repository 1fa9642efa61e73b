"""The weights of a search for other networks: a trained supernet, and retraining that begins with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from darts.artifacts.checkpoint import newest_first, newest_state
from darts.artifacts.run_config import load_search_config
from darts.artifacts.run_folder import CHECKPOINTS
from darts.config import LanguageConfig, RetrainConfig, SearchConfig, check
from darts.errors import UserError
from darts.methods.compose import compose
from darts.methods.method import Method
from darts.methods.space_factory import name_of, space_from
from darts.training.run_checkpoints import STATE_ERRORS
from genotypes import Genotype
from genotypes.errors import kind_and_text, last_line
from supernet.mixed.source import add_auxiliary_skips
from supernet.spaces.space import SearchSpace


@dataclass(frozen=True)
class TrainedSupernet:
    """The supernet of a search, with the weights of its newest checkpoint.

    Attributes:
        space: that built it.
        supernet: the network.
        search: the configuration of its search.
    """

    space: SearchSpace
    supernet: nn.Module
    search: SearchConfig


def inherited(config: RetrainConfig, genotype: Genotype, shape: Any) -> nn.Module:
    """Return the network of a genotype with the weights of the run that ``config.inherit`` names.

    It equals the run's supernet under the genotype's one-hot gates: what searching added, such as BatchNorm behind a
    pooling, stays.

    Args:
        shape: of the data set's examples and answers.

    Raises:
        UserError: where the run holds no search, or one of another size.
        SpaceError: where its supernet has no weights for the genotype.
    """
    assert config.inherit is not None
    search, ours = _search_of(config.inherit, "`inherit`"), config.space
    size = search.space
    if (ours.channels, ours.layers) != (size.channels, size.layers):
        wanted = f"set `space.channels` {size.channels} and `space.layers` {size.layers}"
        raise UserError(
            f"`inherit` is {config.inherit}: its weights fit networks of the size of the search alone; {wanted}"
        )
    trained = load_supernet(config.inherit, shape, "`inherit`", config.language)
    network = trained.space.network(genotype, config.auxiliary > 0, searched=True)
    trained.space.inherit(network, trained.supernet, genotype)
    return network


def load_supernet(run: Path, shape: Any, option: str, language: LanguageConfig) -> TrainedSupernet:
    """Return the supernet of a run, with its weights.

    Args:
        run: the folder of a search.
        shape: of the data set's examples and answers.
        option: that names the run, for messages.
        language: options of a language model.

    Raises:
        UserError: where the run holds no search, or one on data of another shape.
    """
    search = _search_of(run, option)
    method = _method_of(search, run / "config.json")
    path, state = newest_state(run / CHECKPOINTS)
    try:
        number, allowed = _stage_of(state)
        weights = state["task"]["supernet"]
    except STATE_ERRORS as error:
        reason = kind_and_text(error)
        raise UserError(f"{path}: not a checkpoint of this search ({reason})") from None
    if not 0 <= number < len(method.stages):
        raise UserError(f"{path}: written in stage {number}; the method of the search has {len(method.stages)}")
    stage = method.stages[number]
    space = space_from(search, language=language, shape=shape, method=method, stage=stage, allowed=allowed)
    supernet = space.supernet()
    if method.skip is not None:
        add_auxiliary_skips(supernet, method.skip.convolution)
    try:
        supernet.load_state_dict(weights)
    except STATE_ERRORS as error:
        reason = last_line(error)
        raise UserError(f"{option} is {run}: the shapes of its supernet differ on this data set ({reason})") from None
    return TrainedSupernet(space, supernet, search)


def _stage_of(state: Mapping[str, Any]) -> tuple[int, dict[str, tuple[tuple[str, ...], ...]]]:
    """Return the stage in which a checkpoint was written, and the candidates that it allows, by table.

    Raises:
        KeyError, TypeError, AttributeError: where it is no checkpoint of a search.
    """
    number, allowed = state["task"]["stage"], state["task"]["allowed"]
    if type(number) is not int:
        raise TypeError(f"stage is {str(number)[:40]}")
    return number, {label: tuple(map(tuple, rows)) for label, rows in allowed.items() if rows}


def _search_of(run: Path, option: str) -> SearchConfig:
    """Return the configuration of the search that ran in a folder, whose checkpoints are there.

    Raises:
        UserError: where the folder holds no search with checkpoints.
    """
    search = load_search_config(run)
    if search is None or not newest_first(run / CHECKPOINTS):
        raise UserError(f"{option} is {run}: it must be the run of a search, with its checkpoints")
    return search


def _method_of(search: SearchConfig, path: Path) -> Method:
    """Return the method of a search, whose configuration is read from ``path`` and checked."""
    try:
        check(search)
        name_of(search)
        return compose(search)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
