"""Retraining that begins with the weights of a search: ``--inherit RUN``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from darts.artifacts.checkpoint import load, newest_first
from darts.artifacts.run_config import load_search_config
from darts.artifacts.run_folder import CHECKPOINTS
from darts.config.schema import RetrainConfig, check
from darts.errors import UserError
from darts.methods.compose import named
from genotypes.formats.registry import Genotype
from supernet.spaces import SPACES
from supernet.spaces.space import SpaceOptions


def inherited(config: RetrainConfig, genotype: Genotype, shape: Any) -> nn.Module:
    """The network of a genotype with the weights of the run that ``config.inherit`` names.

    It equals the run's supernet under the genotype's one-hot gates: what searching added, such as BatchNorm behind a
    pooling, stays.

    Raises:
        UserError: where the run holds no search, or one of another size.
        SpaceError: where its supernet has no weights for the genotype.
    """
    run = Path(config.inherit)
    search = load_search_config(run)
    paths = newest_first(run / CHECKPOINTS)
    if search is None or not paths:
        raise UserError(f"--inherit {run}: no run of a search with its checkpoints")
    check(search)
    if (search.space.name or "darts") not in SPACES:
        raise UserError(f"{run / 'config.json'}: config.space.name must be one of {', '.join(SPACES)}")
    size, ours = search.space, config.space
    if (ours.channels, ours.layers) != (size.channels, size.layers):
        wanted = f"--space.channels {size.channels} --space.layers {size.layers}"
        raise UserError(f"--inherit {run}: weights fit the size of the search alone, {wanted}")
    state = load(paths[0])["task"]
    method = named(search.method.name)
    stage = method.stages[state["stage"]]
    options = SpaceOptions(
        shape,
        size.channels,
        round(size.layers * stage.depth),
        size.nodes,
        size.stem,
        size.candidates,
        method.without,
        size.partial or stage.partial,
        {label: tuple(map(tuple, rows)) for label, rows in state["allowed"].items() if rows},
        dropouts=asdict(config.language.dropout),
    )
    space = SPACES[size.name or "darts"].make(options)
    supernet = space.supernet()
    try:
        supernet.load_state_dict(state["supernet"])
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()[:120]
        raise UserError(f"--inherit {run}: its supernet is another on this data set ({reason})") from None
    network = space.network(genotype, config.auxiliary > 0, searched=True)
    space.inherit(network, supernet, genotype)
    return network
