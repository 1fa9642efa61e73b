"""The hyper-parameters that a search has tuned beside an architecture, as its result records them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darts.artifacts.run_folder import read_object
from darts.config.command_line import option

PARETO_FILE = "pareto.json"
TUNED = "tuned"
"""Field of a result: dotted path of each tuned field of the configuration -> its value."""


def tuned_with(source: str) -> dict[str, Any]:
    """Return the tuned fields of the genotype that ``genotypes.load`` would read; empty where there are none.

    Args:
        source: a run's folder, its ``genotype.json``, or a point of its Pareto set, ``pareto.json@N``.
    """
    path, _, number = source.rpartition("@")
    if Path(path).name == PARETO_FILE and not os.path.exists(source):
        points = read_object(Path(path)).get("points")
        found = points if isinstance(points, list) else []
        matching = [each for each in found if isinstance(each, dict) and str(each.get("point")) == number]
        content: Any = matching[0] if matching else {}
    else:
        file = Path(source) / "genotype.json" if os.path.isdir(source) else Path(source)
        content = read_object(file).get("searched")
    tuned = content.get(TUNED) if isinstance(content, dict) else None
    return tuned if isinstance(tuned, dict) else {}


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
