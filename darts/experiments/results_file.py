"""The file of a comparison's results: read, validated, summed up over seeds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from darts.errors import UserError

NUMBERS = ("test_accuracy", "parameters", "search_seconds", "retrain_seconds")
"""Entries of a row that are numbers from 0 up."""

Row = dict[str, Any]
"""One search and its retraining: ``method``, ``seed``, ``NUMBERS``, ``skips...`` and ``genotype``."""


def read_results(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a file of results; an empty one where there is no file.

    Args:
        settings: of this comparison, which all rows of a file have in common.

    Raises:
        UserError: naming the file and what is wrong with it, or the settings that it was made with.
    """
    if not path.is_file() and not path.is_dir():
        return {"settings": dict(settings), "rows": [], "table": []}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--json {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UserError(f"--json {path}: not a JSON file; give another name") from None
    reason = _invalid(content)
    if reason:
        raise UserError(f"--json {path}: {reason}; correct the file, or give another name")
    if content["settings"] != settings:
        theirs = str(content["settings"])[:200]
        raise UserError(f"--json {path}: made with {theirs}, not {dict(settings)}; give another name")
    return content


def _invalid(content: Any) -> str | None:
    """Return why a value is not the content of a file of results, or ``None`` where it is."""
    if not isinstance(content, dict) or not isinstance(content.get("settings"), dict):
        return "not a file of this command, it has no object 'settings'"
    rows = content.get("rows")
    if not isinstance(rows, list):
        return "'rows' must be a list"
    seen = set()
    for number, row in enumerate(rows, 1):
        reason = _invalid_row(row)
        if reason:
            return f"row {number}: {reason}"
        job = row["method"], row["seed"]
        if job in seen:
            return f"row {number}: {job[0][:60]} with seed {job[1]} is there twice"
        seen.add(job)
        if skip_counts(row) != skip_counts(rows[0]):
            return f"row {number}: its counts of skip connections are other than those of row 1"
    return None


def _invalid_row(row: Any) -> str | None:
    if not isinstance(row, dict):
        return f"{str(row)[:40]!r} is no object"
    for name in ("method", "genotype"):
        if not isinstance(row.get(name), str) or not row[name].isprintable():
            return f"'{name}' is {str(row.get(name))[:40]!r}; it must be text"
    if type(row.get("seed")) is not int:
        return f"`seed` is {str(row.get('seed'))[:40]!r}; it must be a whole number"
    for name in (*NUMBERS, *skip_counts(row)):
        value: Any = row.get(name)
        largest = 1 if name == "test_accuracy" else 2**53
        if type(value) not in (int, float) or not 0 <= value <= largest:
            return f"'{name}' is {str(value)[:40]!r}; it must be a number from 0 to {largest}"
    return None


def summary(rows: Sequence[Row]) -> list[Row]:
    """Return one row for each method: means over its seeds, and the standard deviation of the accuracy."""
    found = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        accuracies = [row["test_accuracy"] for row in own]
        counted = ("parameters", "search_seconds", *skip_counts(own[0]))
        means = {key: statistics.fmean(row[key] for row in own) for key in counted}
        spread = statistics.stdev(accuracies) if len(own) > 1 else None
        accuracy = {"test_accuracy": statistics.fmean(accuracies), "test_accuracy_std": spread}
        found.append({"method": method, "seeds": len(own), **accuracy, **means})
    return found


def skip_counts(row: Mapping[str, Any]) -> list[str]:
    """Return the entries of a row that count skip connections, as its space has them."""
    return [key for key in row if key.startswith("skips")]
