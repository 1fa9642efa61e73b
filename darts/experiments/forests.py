"""``darts.fit`` within a budget of time beside scikit-learn's default forests, on the same examples.

    python -m darts.experiments forests --root DIR --json FILE       every data set; MNIST is in DIR
    python -m darts.experiments forests --data wine digits --json FILE

Each row is one division of a data set: accuracy, or R2 of numbers, on examples that no model has seen, and seconds: by
the clock, and of the processor, which other programs may have taken meanwhile. A file that is there is continued. The
random forest is the default one; gradient boosting is the default ``GradientBoosting``, or ``HistGradientBoosting``,
which scikit-learn advises for many examples, where they have more than ``FEW`` examples or ``NARROW`` features. Images
are flattened for them, texts counted by words (tf-idf).
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import torch
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from darts.automatic.fit import fit
from darts.config.command_line import parse_command
from darts.config.ranges import POSITIVE, SEED, is_number
from darts.errors import UserError
from darts.experiments.forest_data import CASES, Case
from genotypes.atomic_write import require_writable, write_atomically
from supernet.bench.machine import machine

FEW, NARROW = 2_000, 100

MODELS = ("fit", "forest", "boosting")


@dataclass(frozen=True)
class Options:
    """Options of the comparison."""

    data: tuple[str, ...] = tuple(CASES)
    """Names of data sets."""
    seeds: Annotated[tuple[int, ...], SEED] = (0, 1, 2)
    """Seeds of the divisions and of all models."""
    budget: Annotated[float, POSITIVE] = 60.0
    """Seconds of each fit."""
    root: Path | None = None
    """Folder that holds MNIST."""
    json: Path = field(default=Path("runs/forests.json"))
    """File of the results, which is continued where it exists."""


def main(arguments: Sequence[str], console: Console) -> None:
    """Measure what the file of results does not hold yet, and print the means."""
    options = parse_command(Options, arguments, prog="python -m darts.experiments forests", description=__doc__)
    unknown = [name for name in options.data if name not in CASES]
    if unknown:
        raise UserError(f"`data` is {unknown[0]!r}; it must be one of {', '.join(CASES)}")
    content = _read(options.json)
    require_writable(options.json)
    done = {(row["data"], row["seed"], row["budget"]) for row in content["rows"]}
    for name in dict.fromkeys(options.data):
        for seed in dict.fromkeys(options.seeds):
            if (name, seed, options.budget) not in done:
                row = row_of(name, seed, options, console) | {"machine": machine(torch.device("cpu"))}
                content["rows"].append(row)
                content["command"] = ["python", "-m", "darts.experiments", "forests", *arguments]
                write_atomically(options.json, (json.dumps(content, indent=2) + "\n").encode())
    console.print(_table(content["rows"]))


def row_of(name: str, seed: int, options: Options, console: Console) -> dict[str, Any]:
    """Return the scores and seconds of all models on one division of a data set."""
    with tempfile.TemporaryDirectory() as folder:
        case = CASES[name](seed, Path(folder), options.root)
        row: dict[str, Any] = {
            "data": name,
            "seed": seed,
            "budget": options.budget,
            "train": len(case.train[0]),
            "test": len(case.test[0]),
            "metric": "r2" if case.regression else "accuracy",
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            began, used = time.monotonic(), time.process_time()
            model = fit(*case.given, budget=options.budget, seed=seed, device="cpu", verbose=False)
            row["fit"] = {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - used}
            row["fit"]["score"] = model.score(*case.asked)
        row["fit"] |= {"architectures": len(model.trials), "genotype": str(model.genotype)}
    for kind, made in _forests(case, seed).items():
        began = time.monotonic()
        made.fit(*case.train)
        row[kind] = {
            "seconds": time.monotonic() - began,
            "score": float(made.score(*case.test)),
            "model": type(made).__name__,
        }
    shown = ", ".join(f"{kind} {row[kind]['score']:.4f} in {row[kind]['seconds']:.1f} s" for kind in MODELS)
    console.print(f"{name}, seed {seed}: {row['metric']} {shown}", highlight=False)
    return row


def _forests(case: Case, seed: int) -> Mapping[str, Any]:
    small = len(case.train[0]) <= FEW and case.train[0].shape[1] <= NARROW
    if case.regression:
        boosting = GradientBoostingRegressor if small else HistGradientBoostingRegressor
        return {"forest": RandomForestRegressor(random_state=seed), "boosting": boosting(random_state=seed)}
    boosting = GradientBoostingClassifier if small else HistGradientBoostingClassifier
    return {"forest": RandomForestClassifier(random_state=seed), "boosting": boosting(random_state=seed)}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file() and not path.is_dir():
        return {"rows": []}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"`json` {path}: {str(error)[:80]}; give another name") from None
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise UserError(f"`json` {path}: not a file of this command; give another name")
    return content


def _is_row(row: Any) -> bool:
    """Return whether a value is a row as ``row_of`` makes it, as far as it is read again."""
    if not isinstance(row, dict) or not isinstance(row.get("data"), str) or type(row.get("seed")) is not int:
        return False
    models = [row.get(kind) for kind in MODELS]
    figures = [model.get(name) for model in models if isinstance(model, dict) for name in ("score", "seconds")]
    return len(figures) == 2 * len(MODELS) and all(map(is_number, (row.get("budget"), *figures)))


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    shown = Table("data", "rows", "budget s", "spent s", *MODELS)
    for name, budget in dict.fromkeys((row["data"], row["budget"]) for row in rows):
        own = [row for row in rows if (row["data"], row["budget"]) == (name, budget)]
        scores = [f"{fmean(row[kind]['score'] for row in own):.4f}" for kind in MODELS]
        spent = max(row["fit"]["seconds"] for row in own)
        shown.add_row(name, str(len(own)), f"{budget:g}", f"{spent:.1f}", *scores)
    return shown
