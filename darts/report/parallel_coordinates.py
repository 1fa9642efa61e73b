"""Parallel coordinates of a study: a line for each trial through its decisions to its value, as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from darts.report.figures import formatted

SPACING, HEIGHT, SIDE, TOP, BOTTOM = 84, 300, 46, 34, 18
"""Distances in pixels: between two axes, the picture's height, and the margins."""

BEST = 5
"""Trials that are drawn thick, on top."""


@dataclass(frozen=True)
class Line:
    """A trial.

    Attributes:
        params: its decisions by name; those that it lacks break the line.
        value: of the objective.
        rank: its place among all, 0 the worst and 1 the best.
        title: shown where the pointer rests on it.
    """

    params: Mapping[str, Any]
    value: float
    rank: float
    title: str


def parallel_coordinates(lines: Sequence[Line], objective: str) -> str:
    """Return the picture, in a frame that scrolls sideways; empty where there is nothing to draw.

    An axis is a decision that has several values in these trials; the last is the objective. Lines are coloured from
    blue (worst) to red (best).
    """
    seen = dict.fromkeys(name for line in lines for name in line.params)
    labels = list(dict.fromkeys(name.partition("/")[0] for name in seen))
    several = [name for name in seen if len({str(line.params[name]) for line in lines if name in line.params}) > 1]
    names = sorted(several, key=lambda name: _place(name, labels))
    if len(lines) < 2 or not names:
        return ""
    scales = [_scale([line.params[name] for line in lines if name in line.params]) for name in names]
    ends = min(line.value for line in lines), max(line.value for line in lines)
    width = 2 * SIDE + SPACING * len(names)
    parts = [_axis(name, SIDE + SPACING * index) for index, name in enumerate([*names, objective])]
    marks = [(formatted(objective, value), _relative(value, *ends)) for value in dict.fromkeys(ends)]
    ordered = sorted(lines, key=lambda line: line.rank)
    for index, line in enumerate(ordered):
        places: list[tuple[float, float] | None] = [
            (SIDE + SPACING * column, _y(scale.place(line.params[name]))) if name in line.params else None
            for column, (name, scale) in enumerate(zip(names, scales))
        ]
        places.append((SIDE + SPACING * len(names), _y(_relative(line.value, *ends))))
        kind = ' class="best"' if index >= len(ordered) - BEST else ""
        stroke = f"hsl({round(220 * (1 - line.rank))} 70% 50%)"
        parts.append(f'<path{kind} stroke="{stroke}" d="{_path(places)}"><title>{escape(line.title)}</title></path>')
    texts = [_texts(SIDE + SPACING * index, scale.marks) for index, scale in enumerate(scales)]
    texts.append(_texts(SIDE + SPACING * len(names), marks))
    return (
        f'<div class="scroll"><svg class="lines" width="{width}" viewBox="0 0 {width} {HEIGHT}" role="img" '
        f'aria-label="decisions of each trial">{"".join([*parts, *texts])}</svg></div>'
    )


def _place(name: str, labels: Sequence[str]) -> tuple[bool, int, int]:
    """Return what sorts decisions: ``label/row`` in the order of labels and rows, then tuned fields."""
    label, _, row = name.partition("/")
    number = row.partition("/")[0]
    return not row, labels.index(label), int(number) if number.isdecimal() else 0


@dataclass(frozen=True)
class _Scale:
    """The places of a decision's values on its axis, 0 at the bottom and 1 at the top."""

    place: Callable[[Any], float]
    marks: list[tuple[str, float]]


def _scale(values: Sequence[Any]) -> _Scale:
    distinct = list(dict.fromkeys(values))
    numbers = [value for value in distinct if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(distinct) > 5:
        low, high = min(numbers), max(numbers)
        if low > 0 and high / low > 20:
            return _Scale(
                lambda value: _relative(math.log(value), math.log(low), math.log(high)),
                [(f"{each:.2g}", _relative(math.log(each), math.log(low), math.log(high))) for each in (low, high)],
            )
        return _Scale(lambda value: _relative(value, low, high), [(f"{low:.3g}", 0.0), (f"{high:.3g}", 1.0)])
    ordered = sorted(numbers) if len(numbers) == len(distinct) else sorted(distinct, key=str)
    places = {value: index / max(1, len(ordered) - 1) for index, value in enumerate(ordered)}
    return _Scale(lambda value: places[value], [(str(value), place) for value, place in places.items()])


def _relative(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _y(place: float) -> float:
    return HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)


def _path(places: Sequence[tuple[float, float] | None]) -> str:
    """Return a line through the places; where one is missing it is broken."""
    parts, begun = [], False
    for place in places:
        if place is not None:
            parts.append(f"{'L' if begun else 'M'}{place[0]:g} {place[1]:.1f}")
        begun = place is not None
    return "".join(parts)


def _axis(name: str, x: float) -> str:
    words = name.replace("_", " ").replace("/", " ").split(" ")
    middle = (len(words) + 1) // 2
    lines = [" ".join(words[:middle]), " ".join(words[middle:])]
    title = "".join(f'<text x="{x}" y="{9 + 11 * row}">{escape(_short(each))}</text>' for row, each in enumerate(lines))
    return f'<path class="axis" d="M{x} {TOP}V{HEIGHT - BOTTOM}"/>{title}'


def _texts(x: float, marks: Sequence[tuple[str, float]]) -> str:
    return "".join(
        f'<text class="value" x="{x}" y="{_y(place):.1f}">{escape(_short(text))}</text>' for text, place in marks
    )


def _short(text: str) -> str:
    return text if len(text) <= 13 else f"{text[:12]}…"
