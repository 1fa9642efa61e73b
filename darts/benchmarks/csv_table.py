"""A table in a CSV file: a line for each key, columns parsed when they are first asked for. Nothing is unpickled."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path

from darts.errors import UserError
from genotypes.devices import refuse_device


class CSVTable:
    """A CSV file with a header, in memory.

    Args:
        path: of the file, in UTF-8.
        key: the column whose text identifies a line.

    Attributes:
        columns: their names, in the order of the file.

    Raises:
        UserError: where the file is no such table.
    """

    def __init__(self, path: Path, key: str):
        try:
            refuse_device(path)
            with open(path, encoding="utf-8-sig", newline="") as file:
                header, *lines = [*csv.reader(file)] or [[]]
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"`benchmark.file` {path}: not a readable CSV file ({str(error)[:80]})") from None
        self.path, self.columns = path, header
        if key not in header:
            raise UserError(f"`benchmark.file` {path}: its first line has no column {key}")
        place = header.index(key)
        for number, line in enumerate(lines, 2):
            if line and len(line) != len(header):
                where = f"line {number} has {len(line)} fields, the first line {len(header)}"
                raise UserError(f"`benchmark.file` {path}: {where}; the file is damaged or cut short")
        self._lines = {line[place]: line for line in lines if line}
        self._sorted: dict[str, list[float]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def keys(self) -> Iterable[str]:
        """The keys of all lines, in the order of the file."""
        return self._lines.keys()

    def line(self, key: str) -> dict[str, str]:
        """Return the line of a key, column -> text."""
        return dict(zip(self.columns, self._line(key)))

    def value(self, key: str, column: str) -> float:
        """Return one figure of a key.

        Raises:
            UserError: where there is no such line or column, or no finite number in it.
        """
        return self._number(key, self._line(key), self._place(column))

    def descending(self, column: str) -> list[float]:
        """Return all values of a column, the largest first."""
        if column not in self._sorted:
            place = self._place(column)
            values = [self._number(key, line, place) for key, line in self._lines.items()]
            self._sorted[column] = sorted(values, reverse=True)
        return self._sorted[column]

    def best(self, column: str, count: int) -> list[str]:
        """Return the keys of the largest values of a column; equals stay in the order of the file."""
        place = self._place(column)
        keys = sorted(self._lines, key=lambda key: -self._number(key, self._lines[key], place))
        return keys[:count]

    def _line(self, key: str) -> list[str]:
        if key not in self._lines:
            raise UserError(f"`benchmark.file` {self.path}: has no line of {key[:90]}")
        return self._lines[key]

    def _place(self, column: str) -> int:
        if column not in self.columns:
            raise UserError(f"`benchmark.file` {self.path}: has no column {column}")
        return self.columns.index(column)

    def _number(self, key: str, line: list[str], place: int) -> float:
        try:
            number = float(line[place])
        except (ValueError, IndexError):
            number = math.nan
        if not math.isfinite(number):
            column = self.columns[place]
            raise UserError(f"`benchmark.file` {self.path}: no finite number in column {column} of {key[:90]}")
        return number
