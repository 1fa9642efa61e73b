"""The hyper-parameters that a search has tuned beside an architecture, as its result records them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darts.artifacts.run_folder import read_object
from darts.config.blackbox import BlackboxConfig
from darts.config.command_line import option
from darts.config.fields import fields_of
from darts.config.types_in_words import fits, in_words
from darts.errors import UserError
from genotypes import parted
from genotypes.parsing import shortened

PARETO_FILE = "pareto.json"
OF_A_TRIAL = ("weights.", "language.", "batch_size", "space.channels", "space.layers", "space.stem")
"""Beginnings of the fields that a trial's training depends on; the others belong to the search as a whole."""

TUNED = "tuned"
"""Field of a result: dotted path of each tuned field of the configuration -> its value."""


def tuned_with(source: str) -> dict[str, Any]:
    """Return the tuned fields of the genotype that ``genotypes.load`` would read; empty where there are none.

    Args:
        source: a run's folder, its ``genotype.json``, or a point of its Pareto set, ``pareto.json@N``.

    Raises:
        UserError: naming the file, and the field that no search tunes, or the value that it cannot have.
    """
    path, number = parted(source)
    file = Path(path) / "genotype.json" if os.path.isdir(path) else Path(path)
    if file.name == PARETO_FILE and number:
        points = read_object(file).get("points")
        listed = points if isinstance(points, list) else []
        matching = [each for each in listed if isinstance(each, dict) and str(each.get("point")) == number]
        content: Any = matching[0] if matching else {}
    else:
        content = read_object(file).get("searched")
    tuned = content.get(TUNED) if isinstance(content, dict) else None
    if not tuned or not isinstance(tuned, dict):
        return {}
    known = {field.path: field.hint for field in fields_of(BlackboxConfig())}
    for name, value in tuned.items():
        if not name.startswith(OF_A_TRIAL) or name not in known:
            raise UserError(f"{file}: tuned has {shortened(name)!r}, which no search tunes; correct it")
        if not fits(known[name], value):
            raise UserError(f"{file}: tuned has {name} {str(value)[:60]!r}; it must be {in_words(known[name])}")
    return tuned


def flags(tuned: Mapping[str, Any]) -> list[str]:
    """Return the options by which a command line gives tuned fields."""
    words = []
    for path, value in tuned.items():
        if isinstance(value, bool):
            section, dot, name = path.rpartition(".")
            words.append(option(path if value else f"{section}{dot}no_{name}"))
        else:
            words += [option(path), str(value)]
    return words
