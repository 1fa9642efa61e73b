"""A chart of box plots, a row for each group of samples: quartiles as a box, extremes as whiskers, samples as dots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from darts.report.charts import COLOURS, RIGHT, axis_of

ROW = 18
"""Height of a row."""

WIDTH, LEFT, TOP, BOTTOM = 640, 150, 6, 20


def box_chart(title: str, groups: Mapping[str, Sequence[float]], lines: Mapping[str, float] | None = None) -> str:
    """Return a chart of values in percent; empty where there is nothing to draw.

    Args:
        title: the chart's caption.
        groups: name -> samples; groups without any are left out.
        lines: name -> value of a vertical line, such as the best there is.
    """
    known = {name: np.array(values, float) for name, values in groups.items() if len(values)}
    marks = lines or {}
    if not known:
        return ""
    values = np.concatenate([*known.values(), list(marks.values())])
    low, high, ticks = axis_of(float(values.min()), float(values.max()))
    height = TOP + ROW * len(known) + BOTTOM

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts = [
        f'<path class="grid" d="M{x(tick):.1f} {TOP}V{height - BOTTOM}"/>'
        f'<text class="x" x="{x(tick):.1f}" y="{height - BOTTOM / 2}">{tick:.6g} %</text>'
        for tick in ticks
    ]
    for place, (name, value) in enumerate(marks.items()):
        shown = f"<title>{escape(name)}: {value:.2f} %</title>"
        line = f'<path d="M{x(value):.1f} {TOP}V{height - BOTTOM}">{shown}</path>'
        parts.append(f'<g class="dashed c{(place + 1) % COLOURS}">{line}</g>')
    for place, (name, own) in enumerate(known.items()):
        y = TOP + (place + 0.5) * ROW
        least, first, middle, third, most = (x(float(each)) for each in np.quantile(own, (0, 0.25, 0.5, 0.75, 1)))
        box = f"M{first:.1f} {y - 5}H{third:.1f}V{y + 5}H{first:.1f}ZM{middle:.1f} {y - 5}v10"
        whiskers = f"M{least:.1f} {y}H{first:.1f}M{third:.1f} {y}H{most:.1f}"
        dots = "".join(f'<circle cx="{x(float(value)):.1f}" cy="{y}" r="1.8"/>' for value in own)
        shown = f"{escape(name)}: {', '.join(f'{value:.2f}' for value in own)} %"
        parts.append(f'<g class="c0"><title>{shown}</title><path d="{box}{whiskers}"/>{dots}</g>')
        parts.append(f'<text class="y" x="{LEFT - 8}" y="{y}">{escape(name)}</text>')
    svg = f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
    names = "".join(
        f'<span><i class="c{(place + 1) % COLOURS}"></i>{escape(name)} <b>{value:.2f} %</b></span>'
        for place, (name, value) in enumerate(marks.items())
    )
    caption = f"<figcaption>{escape(title)}</figcaption>"
    return f'<figure>{caption}{svg}{"".join(parts)}</svg><p class="legend">{names}</p></figure>'
