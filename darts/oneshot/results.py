"""The files of a finished search: the genotype, every epoch's genotype, pictures, figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darts.artifacts.gate_heatmaps import gates_svg
from darts.training.objective import ranked_by
from genotypes import Genotype, describe, picture, schema_from, write
from genotypes.atomic_write import write_atomically
from supernet.spaces.space import SearchSpace


def write_files(
    folder: Path,
    genotype: Genotype,
    *,
    origin: Mapping[str, Any],
    evaluated: Mapping[str, float],
    figures: Mapping[str, Any],
    epochs: Sequence[tuple[str, float]],
    history: Mapping[str, Tensor],
    space: SearchSpace,
) -> None:
    """Write the files of a search, each at once or not at all.

    Args:
        folder: of the run.
        genotype: the search's result.
        origin: recipe, data set and seed, kept in the genotype's file.
        evaluated: figures of the last evaluation.
        figures: of the genotype.
        epochs: each epoch's genotype as a text, and its accuracy or negative loss.
        history: table label -> edge scores of each epoch, ``(epochs + 1, e, o)``.
        space: that was searched.
    """
    key, sign = ranked_by(evaluated)
    rows = [
        {"epoch": epoch, f"valid_{key}": sign * accuracy, "genotype": text}
        for epoch, (text, accuracy) in enumerate(epochs, 1)
    ]
    found = {
        **evaluated,
        **figures,
        "epochs": len(epochs),
        "genotype": describe(genotype),
        "genotype_hash": genotype.hash,
    }
    files = {
        "genotype.json": write(genotype, extra={**schema_from(folder), "searched": origin}),
        "cells.svg": picture(genotype),
        "gates.svg": gates_svg(history, space.tables, space.titles),
        "genotypes.json": json.dumps(rows, indent=2) + "\n",
        "metrics.json": json.dumps(found, indent=2) + "\n",
    }
    for name, content in files.items():
        write_atomically(folder / name, content.encode())


def gate_entropy(gates: Tensor) -> float:
    """Return the mean entropy of a table's rows over its largest possible value: 1 is undecided, 0 one-hot."""
    rows = gates / gates.sum(1, keepdim=True).clamp_min(torch.finfo(gates.dtype).tiny)
    return (torch.special.entr(rows).sum(1).mean() / torch.tensor(float(gates.shape[1])).log()).item()
