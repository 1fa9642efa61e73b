"""Charts of a page: curves as SVG, coloured by the page's style sheet, and heat maps of gates over time."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from darts.artifacts.gate_heatmaps import colours

WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 24
"""Margins around the plotted area, in pixels."""

COLOURS = 8
"""Number of colours of curves; further curves of a chart repeat them, dashed."""

Points = Sequence[tuple[float, float]]

Place = Callable[[float, float], tuple[float, float]]
"""(epoch, value) -> the position of a point in the chart, in pixels."""


def chart(
    title: str,
    curves: Mapping[str, Points],
    percent: bool = False,
    unit: str = "epoch",
    bands: Mapping[str, Sequence[tuple[float, float, float]]] | None = None,
) -> str:
    """Return a chart of curves over epochs, with a legend; empty where there is nothing to draw.

    Args:
        title: the chart's caption.
        curves: name -> points (epoch from 1, value); values that are not finite are left out.
        percent: whether values are fractions, to be shown in percent.
        unit: of what the curves are drawn over.
        bands: name of a curve -> points (epoch, lowest and highest value) of an area around it.
    """
    scale = 100 if percent else 1
    areas = {
        name: [(x, low * scale, high * scale) for x, low, high in band if math.isfinite(low + high)]
        for name, band in (bands or {}).items()
    }
    known = {
        name: [(x, y * scale) for x, y in points if math.isfinite(y)] for name, points in curves.items() if len(points)
    }
    known = {name: points for name, points in known.items() if points}
    if not known:
        return ""
    xs, ys = zip(*(point for points in known.values() for point in points))
    ends = [value for band in areas.values() for _, *both in band for value in both]
    low, high, ticks = axis_of(min([*ys, *ends]), max([*ys, *ends]))
    first, last = min(xs) if unit != "epoch" else min(1, *xs), max(xs)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - first) / (last - first) if last > first else 0.5
        return LEFT + across * (WIDTH - LEFT - RIGHT), TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [_grid(ticks, percent, place), _epochs(first, last, place)]
    parts += [_band(areas.get(name, ()), index, place) for index, name in enumerate(known)]
    parts += [_curve(name, points, index, place, unit) for index, (name, points) in enumerate(known.items())]
    legend = "".join(
        f'<span><i class="c{index % COLOURS}"></i>{escape(name)} <b>{_value(points[-1][1], percent)}</b></span>'
        for index, (name, points) in enumerate(known.items())
    )
    svg = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>{svg}{''.join(parts)}</svg>"
        f'<p class="legend">{legend}</p></figure>'
    )


def _grid(ticks: Sequence[float], percent: bool, place: Place) -> str:
    lines = []
    for tick in ticks:
        y = place(1, tick)[1]
        lines.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        lines.append(f'<text class="y" x="{LEFT - 6}" y="{y:.1f}">{_short(tick)}{" %" if percent else ""}</text>')
    return "".join(lines)


def _epochs(first: float, last: float, place: Place) -> str:
    step = max(1, math.ceil((last - first) / 6))
    power = 10 ** int(math.log10(step))
    nice = (1, 2, 5, 10, 20, 25, 50, 100) if step <= 100 else (power, 2 * power, 5 * power, 10 * power)
    step = next(each for each in nice if each >= step)
    begin = step * (int(first) // step)
    marks = [int(first), *(tick for tick in range(begin, int(last) + 1, step) if tick > first + step / 2)]
    return "".join(
        f'<text class="x" x="{place(mark, 0)[0]:.1f}" y="{HEIGHT - BOTTOM / 2:.1f}">{_short(mark)}</text>'
        for mark in marks
    )


def _band(band: Sequence[tuple[float, float, float]], index: int, place: Place) -> str:
    """Return the area between the lowest and the highest values."""
    if not band:
        return ""
    corners = [*(place(x, high) for x, _, high in band), *(place(x, low) for x, low, _ in reversed(band))]
    return f'<g class="c{index % COLOURS}"><polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}"/></g>'


def _curve(name: str, points: Points, index: int, place: Place, unit: str) -> str:
    placed = [place(*point) for point in points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
    dashed = " dashed" if index >= COLOURS else ""
    dots = ""
    if len(points) <= 60:
        dots = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2"><title>{escape(name)}, {unit} {epoch:g}: {value:.4g}</title>'
            "</circle>"
            for (x, y), (epoch, value) in zip(placed, points)
        )
    return f'<g class="c{index % COLOURS}{dashed}"><path d="{path}"/>{dots}</g>'


def axis_of(low: float, high: float) -> tuple[float, float, list[float]]:
    """Return the bounds of an axis, and round values on it for its ticks."""
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - max(0.5, 1e-3 * abs(low)), high + max(0.5, 1e-3 * abs(high))
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return first * step, last * step, [k * step for k in range(first, last + 1)]


def _short(value: float) -> str:
    return f"{value:.6g}" if abs(value) < 1e5 else f"{value / 1e6:.3g}M" if abs(value) < 1e9 else f"{value:.0e}"


def _value(value: float, percent: bool) -> str:
    return f"{value:.2f} %" if percent else f"{value:.4g}"


def heat_maps(lines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return heat maps, choice table's label -> HTML: one for each row, candidates by epochs, with the newest gates.

    Args:
        lines: log lines with ``gates`` (``gate_heatmaps.gates_to_json``). Candidates and rows are those of the last
            line; where an earlier line lacks one, its gates are 0.
    """
    if not lines:
        return {}
    largest = largest_gate(lines)
    maps = {}
    for label, table in lines[-1]["gates"].items():
        figures = []
        for title, newest in table["rows"].items():
            names = table["candidates"] if len(table["candidates"]) == len(newest) else ["weight"] * len(newest)
            found = [_gates_of(line["gates"].get(label), title, table["candidates"]) for line in lines]
            history = [(row + [0.0] * len(newest))[: len(newest)] for row in found]
            figures.append(_heat_map(title, names, np.array(history).T / largest, newest))
        maps[label] = "".join(figures)
    return maps


def _gates_of(table: Mapping[str, Any] | None, title: str, candidates: Sequence[str]) -> list[float]:
    """Return a row's gates of one log line, in the order of ``candidates``; 0 for a candidate that it lacks."""
    row = table["rows"].get(title, []) if table else []
    if not table or len(row) != len(table["candidates"]):
        return list(row) or [0.0]
    known = dict(zip(table["candidates"], row))
    return [known.get(name, 0.0) for name in candidates]


def _heat_map(title: str, names: Sequence[str], shares: np.ndarray, newest: Sequence[float]) -> str:
    """Return the heat map of one row; ``shares`` are fractions of the largest gate, ``(o, t)``."""
    best = int(np.argmax(newest))
    mark = [("<b>", "</b>") if row == best else ("", "") for row in range(len(names))]
    left = "<br>".join(f"{a}{escape(name)}{b}" for name, (a, b) in zip(names, mark))
    right = "<br>".join(f"{a}{gate:.3f}{b}" for gate, (a, b) in zip(newest, mark))
    image = f'<img src="{_png(colours(shares))}" style="height: {14 * len(names)}px"'
    return (
        f'<figure class="map"><figcaption>{escape(title)}</figcaption><div><span class="names">{left}</span>'
        f'{image} alt="gates of {escape(title)} by epoch">'
        f'<span class="gates">{right}</span></div></figure>'
    )


def legend(largest: float) -> str:
    """Return the legend of the heat maps' colours."""
    strip = _png(colours(np.linspace(0, 1, 64)[None]))
    return f'<p class="scale">0 <img src="{strip}" alt="colours from 0 to {largest:.2f}"> {largest:.2f}</p>'


def largest_gate(lines: Sequence[Mapping[str, Any]]) -> float:
    """Return the largest gate of all choice tables and log lines; 1 where all are 0."""
    tables = [table for line in lines for table in line["gates"].values()]
    return max((gate for table in tables for row in table["rows"].values() for gate in row), default=0.0) or 1.0


def _png(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def series(lines: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """Return a figure of the log's epochs as points of a curve, (epoch from 1, value)."""
    return [(line["epoch"] + 1, line[key]) for line in lines if isinstance(line.get(key), int | float)]
