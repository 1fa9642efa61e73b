"""Retraining that begins with the weights of a search: ``--inherit RUN``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from darts.artifacts.checkpoint import load, newest_first
from darts.artifacts.run_config import load_search_config
from darts.artifacts.run_folder import CHECKPOINTS
from darts.config import RetrainConfig, SearchConfig, check
from darts.errors import UserError
from darts.methods.compose import compose
from darts.methods.method import Method
from darts.methods.space_factory import name_of, space_from
from genotypes import Genotype
from supernet.mixed.source import add_auxiliary_skips


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
    run = config.inherit
    search = load_search_config(run)
    paths = newest_first(run / CHECKPOINTS)
    if search is None or not paths:
        raise UserError(f"`inherit` is {run}: it must be the run of a search, with its checkpoints")
    method = _method_of(search, run / "config.json")
    size, ours = search.space, config.space
    if (ours.channels, ours.layers) != (size.channels, size.layers):
        wanted = f"set `space.channels` {size.channels} and `space.layers` {size.layers}"
        raise UserError(f"`inherit` is {run}: its weights fit networks of the size of the search alone; {wanted}")
    state = load(paths[0])["task"]
    number = state["stage"]
    if not 0 <= number < len(method.stages):
        raise UserError(f"{paths[0]}: written in stage {number}; the method of the search has {len(method.stages)}")
    space = space_from(
        search,
        language=config.language,
        shape=shape,
        method=method,
        stage=method.stages[number],
        allowed={label: tuple(map(tuple, rows)) for label, rows in state["allowed"].items() if rows},
    )
    supernet = space.supernet()
    if method.skip is not None:
        add_auxiliary_skips(supernet, method.skip.convolution)
    try:
        supernet.load_state_dict(state["supernet"])
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()[:120]
        raise UserError(f"`inherit` is {run}: the shapes of its supernet differ on this data set ({reason})") from None
    network = space.network(genotype, config.auxiliary > 0, searched=True)
    space.inherit(network, supernet, genotype)
    return network


def _method_of(search: SearchConfig, path: Path) -> Method:
    """Return the method of a search, whose configuration is read from ``path`` and checked."""
    try:
        check(search)
        name_of(search)
        return compose(search)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
