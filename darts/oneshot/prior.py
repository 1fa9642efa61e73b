"""What earlier searches in a space say about a new one, on other data: the share of each candidate among their results.

The results of a search by gradients are its genotype, those of a search by trials the best quarter of them. A search by
gradients begins with logits that are higher by the logarithm of the shares. A strategy begins with the results
themselves, as Feurer et al. 2015 begin Bayesian optimization with what was good on other data sets.

Axes: ``e`` row, ``o`` candidate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darts.artifacts.run_folder import read_config
from darts.bilevel.problem import SearchProblem
from darts.config import SearchConfig
from darts.config.objectives import OBJECTIVES
from darts.errors import UserError
from darts.retraining.start import Start, begin_with
from genotypes import Genotype, load, read
from genotypes.errors import InputError
from supernet.choice import ChoiceTable, Picks
from supernet.spaces.space import SearchSpace

BEST = 0.25
"""Share of the trials of a search that count as its results."""

MOST = 10
"""Architectures with which a strategy begins at most."""

UNKNOWN = 1.0
"""Results that are added, in which every candidate has the same share: no candidate is ruled out."""


def begin(config: SearchConfig, space: SearchSpace, problem: SearchProblem) -> Start:
    """Let a search by gradients begin with what its configuration says of earlier runs; return what has started.

    Raises:
        UserError: where a run cannot be used.
    """
    if config.prior:
        raise_logits(problem.logits, shares_of(space, config.prior), space.tables)
    return begin_with(problem.supernet, config.start)


def results_of(run: Path) -> list[Genotype]:
    """Return the best architectures of a search.

    Raises:
        UserError: where the folder holds no finished search.
    """
    trials = run / "trials.json"
    try:
        if trials.exists():
            rows = [row for row in json.loads(trials.read_text(encoding="utf-8")) if _is_result(row)]
            if not rows:
                raise ValueError("no trial of it is complete")
            rows.sort(key=lambda row: -row["value"] if _is_maximized(run) else row["value"])
            return [read(row["genotype"]) for row in rows[: max(1, round(BEST * len(rows)))]]
        return [load(str(run / "genotype.json"))]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, InputError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"`prior` is {run}: it must be the folder of a finished search ({reason})") from None


def _is_result(row: Mapping[str, Any]) -> bool:
    """Return whether a row of a study is of an architecture that was evaluated and is within the limits."""
    return row["value"] is not None and row.get("state", "complete") == "complete"


def _is_maximized(run: Path) -> bool:
    """Return whether the first objective of a study is maximized; that of a search in one's own model always is."""
    config: Any = read_config(run).get("config")
    given = config.get("objectives") if isinstance(config, dict) else None
    first = str(given or "accuracy").partition(",")[0]
    return first not in OBJECTIVES or OBJECTIVES[first].maximized


def results_in(space: SearchSpace, runs: Sequence[Path]) -> list[Picks]:
    """Return the best architectures of earlier searches, different ones: the best of each run, then the second best.

    Raises:
        UserError: as ``shares_of``.
    """
    found: list[Picks] = []
    for picks in chain.from_iterable(zip_longest(*(_picks_of(space, run) for run in runs))):
        if picks is not None and picks not in found:
            found.append(picks)
    return found[:MOST]


def shares_of(space: SearchSpace, runs: Sequence[Path]) -> dict[str, Tensor]:
    """Return the share of each candidate among the results of earlier searches, each of which counts alike.

    Args:
        space: of the new search.
        runs: folders of the earlier ones.

    Returns:
        Table label -> ``(e, o)`` float64; the shares of a row sum to 1. A candidate that is not allowed has 0.

    Raises:
        UserError: where a run has no result of this space.
    """
    counts = {table.label: _even(table) for table in space.tables}
    for run in runs:
        found = _picks_of(space, run)
        for picks in found:
            for table in space.tables:
                for row, name in picks.get(table.label, ()):
                    counts[table.label][row, table.candidates.index(name)] += 1 / len(found)
    return {label: count / count.sum(1, keepdim=True) for label, count in counts.items()}


def _even(table: ChoiceTable) -> Tensor:
    mask = table.mask.double()
    return UNKNOWN * mask / mask.sum(1, keepdim=True).clamp_min(1)


def _picks_of(space: SearchSpace, run: Path) -> list[Picks]:
    try:
        return [space.picks(genotype) for genotype in results_of(run)]
    except (InputError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"`prior` is {run}: its results are of another space ({reason})") from None


def raise_logits(logits: Mapping[str, Tensor], shares: Mapping[str, Tensor], tables: Sequence[ChoiceTable]) -> None:
    """Add the logarithm of the shares, less its mean over a row's candidates, to initial logits, in place."""
    for table in tables:
        mask = table.mask
        logs = torch.where(mask, shares[table.label].clamp_min(1e-9).log(), 0.0)
        centred = torch.where(mask, logs - logs.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp_min(1), 0.0)
        with torch.no_grad():
            logits[table.label].add_(centred.to(logits[table.label]))
