"""Tables of numbers and categories: read from arrays, data frames and CSV files, and encoded as numbers.

Axes: ``n`` example, ``f`` column.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from darts.artifacts.plain_values import record_from
from darts.data.text.sentences import DELIMITERS
from darts.data.text.unicode_file import read_unicode
from darts.errors import UserError

Columns = dict[str, np.ndarray]
"""Name of each column -> its values ``(n,)``: numbers, NaN where missing; or text as objects, None where missing."""

MAX_CATEGORIES = 50
"""Rarer categories of a column count as unknown."""

FEW_ROWS = 20
"""Of a table with as many rows, a column of texts of which more than half occur once is left out."""

COMMA_NUMBER = re.compile(r"\s*[+-]?(?:\d+|\d*,\d+)(?:[eE][+-]?\d+)?\s*")
"""A number with a comma for the decimal point."""

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
"""Texts that stand for a missing value, in lower case."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: its name.
        categories: its texts, the most frequent first; None where it holds numbers.
        mean, std: of its numbers that are not missing.
        missing: whether a number was missing where the encoder was fitted.
    """

    name: str
    categories: tuple[str, ...] | None = None
    mean: float = 0.0
    std: float = 1.0
    missing: bool = False


@dataclass(frozen=True)
class TableEncoder:
    """Encodes a table as numbers, ``(n, f)`` float64: a category by its index, what is missing or unknown by NaN."""

    columns: tuple[Column, ...]

    kind = "table"

    @property
    def texts(self) -> frozenset[str]:
        """Names of the columns of categories."""
        return frozenset(column.name for column in self.columns if column.categories is not None)

    @property
    def features(self) -> int:
        """Number of the features that ``TableInput`` makes of a row."""
        return sum(len(c.categories) if c.categories is not None else 1 + c.missing for c in self.columns)

    def __call__(self, table: Columns) -> Tensor:
        """Encode rows.

        Raises:
            UserError: where a column is absent, or holds text in the place of numbers.
        """
        absent = [column.name for column in self.columns if column.name not in table]
        if absent:
            if len(table) == len(self.columns) and all(name.isdigit() for name in table):
                table = dict(zip((column.name for column in self.columns), table.values()))
            else:
                raise UserError(
                    f"`x` has no column {absent[0]!r}; the model was trained with {len(self.columns)} columns"
                )
        return torch.from_numpy(np.stack([_encoded(column, table[column.name]) for column in self.columns], 1))

    def state(self) -> dict[str, Any]:
        """Return plain values that ``from_state`` reads."""
        return {"columns": [asdict(column) for column in self.columns]}

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> TableEncoder:
        """Return the encoder of what ``state`` returned; a ``ValueError`` names what cannot be."""
        columns = tuple(record_from(Column, column, "encoder.columns") for column in state["columns"])
        if not columns or len({column.name for column in columns}) < len(columns):
            raise ValueError("encoder.columns are none, or two of one name")
        for column in columns:
            if not (math.isfinite(column.mean) and math.isfinite(column.std) and column.std > 0):
                raise ValueError(f"encoder.columns: {column.name[:40]!r} has mean {column.mean}, std {column.std}")
        return TableEncoder(columns)

    def describe(self) -> str:
        """Return what the columns are, for people."""
        texts = sum(column.categories is not None for column in self.columns)
        return f"a table of {len(self.columns) - texts} columns of numbers and {texts} of categories"


def fit_table(table: Columns) -> TableEncoder:
    """Return an encoder with the columns' categories, means and deviations.

    Raises:
        UserError: where no column has two different values.
    """
    columns = [_fitted(name, values) for name, values in table.items()]
    varied = tuple(column for column in columns if column is not None)
    if not varied:
        raise UserError("`x` has no column with two different values; there is nothing to learn from")
    return TableEncoder(varied)


def _fitted(name: str, values: np.ndarray) -> Column | None:
    """Return a column; None where all of its values are the same."""
    if values.dtype == object:
        counts = Counter(value for value in values if value is not None)
        if len(values) >= FEW_ROWS and len(counts) > len(values) / 2:
            return None  # names or numbers of single examples, which say nothing about others
        categories = tuple(text for text, _ in counts.most_common(MAX_CATEGORIES))
        return Column(name, categories) if len(categories) > 1 or (categories and None in values) else None
    present = values[~np.isnan(values)]
    missing = len(present) < len(values)
    if len(present) == 0 or (not missing and present.min() == present.max()):
        return None
    scale = float(present.std()) or 1.0
    return Column(name, None, float(present.mean()), scale, missing)


def _encoded(column: Column, values: np.ndarray) -> np.ndarray:
    if column.categories is None:
        if values.dtype == object:
            raise UserError(
                f"`x` holds {_first_text(values)!r} in column {column.name!r}, which held numbers in training"
            )
        return values
    index = {text: k for k, text in enumerate(column.categories)}
    texts = values if values.dtype == object else [None if value != value else number_text(value) for value in values]
    return np.array([index.get(text, np.nan) if text is not None else np.nan for text in texts], dtype=np.float64)


def _first_text(values: np.ndarray) -> str:
    return next((str(value)[:30] for value in values if value is not None and _number(value) is None), "")


def number_text(value: float) -> str:
    """Return a number as a category's text: whole numbers without a fraction."""
    return str(int(value)) if float(value).is_integer() else str(value)


def table_of_array(values: np.ndarray, texts: Collection[str] = ()) -> Columns:
    """Return an array ``(n, f)`` as a table whose columns are named by their numbers.

    Args:
        texts: names of columns that hold text, even where it looks like numbers.

    Raises:
        UserError: where it holds infinite values, or values that are neither text nor numbers.
    """
    return {str(k): column(f"column {k}", values[:, k], str(k) in texts) for k in range(values.shape[1])}


def table_of_frame(frame: Any, texts: Collection[str] = ()) -> Columns:
    """Return a data frame, of any library whose frames have ``columns`` and are indexed by these, as a table.

    Args:
        texts: names of columns that hold text, even where it looks like numbers.

    Raises:
        UserError: as ``table_of_array``; where two columns have one name.
    """
    names = [str(name) for name in frame.columns]
    again = [name for name, times in Counter(names).items() if times > 1]
    if again:
        raise UserError(f"`x` has two columns named {again[0]!r}; rename one")
    pairs = zip(names, frame.columns)
    return {name: column(f"column {name!r}", np.asarray(frame[key]), name in texts) for name, key in pairs}


def column(place: str, values: np.ndarray, text: bool = False) -> np.ndarray:
    """Return values as those of a column: numbers, or texts where one of them is not a number.

    Args:
        place: names the column in messages.
        text: whether texts stay texts, even where all of them are numbers.

    Raises:
        UserError: where there are infinite values, or values that are neither text nor numbers.
    """
    if values.dtype.kind in "mM":
        raise UserError(f"`x` holds times in {place}; give numbers, such as year, month and weekday")
    if values.dtype.kind in "biuf":
        found = values.astype(np.float64)
    else:
        objects = list(values)
        odd = [
            value
            for value in objects
            if not (value is None or isinstance(value, str | bytes | int | float | np.generic))
        ]
        if odd:
            raise UserError(f"`x` holds a {type(odd[0]).__name__} in {place}; it must hold numbers or text")
        parsed = [np.nan if _is_missing(value) else _number(value) for value in objects]
        if None in parsed or text:
            return np.array([None if _is_missing(value) else _text(value) for value in objects], dtype=object)
        found = np.array(parsed, dtype=np.float64)
    if np.isinf(found).any():
        row = int(np.flatnonzero(np.isinf(found))[0])
        raise UserError(f"`x` is infinite in {place} at example {row}; leave the example out or replace the value")
    return found


def _is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, float | np.floating) and value != value):
        return True
    return isinstance(value, str) and value.strip().lower() in MISSING


def _number(value: Any) -> float | None:
    if isinstance(value, str) and "_" in value:  # Python reads 1_2 as 12
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.strip() if isinstance(value, str) else number_text(float(value))


def read_csv(path: Path, texts: Collection[str] | None = ()) -> Columns:
    """Read a CSV file with a first line of names, separated by commas, semicolons or tabs.

    Where the separator is none, numbers may have a comma for the decimal point.

    Args:
        texts: names of columns that hold text, even where it looks like numbers; None for all.

    Raises:
        UserError: naming the file and the line that does not fit.
    """
    text = read_unicode(path, "CSV file")
    first = text.splitlines()[0] if text.strip() else ""
    delimiter = max(DELIMITERS, key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise UserError(f"{path}: not a readable CSV file ({str(error)[:80]})") from None
    if len(rows) < 2:
        raise UserError(f"{path}: {len(rows)} rows; a first line of names and one row for each example are needed")
    names = [name.strip() for name in rows[0]]
    again = [name for name, times in Counter(names).items() if times > 1]
    if again:
        raise UserError(f"{path}: two columns are named {again[0]!r}; rename one")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise UserError(f"{path}, row {number}: {len(row)} columns; the first line names {len(names)}")
    values, found = np.array(rows[1:], dtype=object), {}
    for k, name in enumerate(names):
        kept = texts is None or name in texts
        given = values[:, k] if kept or delimiter == "," else _with_points(values[:, k])
        found[name] = column(f"column {name!r}", given, kept)
    return found


def _with_points(texts: np.ndarray) -> np.ndarray:
    """Return texts with decimal points, where all of them that are not missing are numbers with or without commas."""
    present = [text for text in texts if not _is_missing(text)]
    if any("," in text for text in present) and all(map(COMMA_NUMBER.fullmatch, present)):
        return np.array([text.replace(",", ".") for text in texts], dtype=object)
    return texts


def numbers_rows(table: Columns) -> bool:
    """Return whether the first column of a table has no name and numbers the rows, as R and pandas write them."""
    name, values = next(iter(table.items()))
    whole = values.dtype != object and bool(np.isfinite(values).all()) and bool((values == np.round(values)).all())
    return name == "" and whole and len(np.unique(values)) == len(values)


def without(table: Columns, names: Sequence[str]) -> Columns:
    """Return a table without some columns."""
    return {name: values for name, values in table.items() if name not in names}
