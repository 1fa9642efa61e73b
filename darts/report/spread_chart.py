"""A chart of groups of samples: every sample as a dot, mean and standard deviation of each group as a bar.

Axes: ``n`` sample of a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean, stdev

from darts.report.charts import BOTTOM, COLOURS, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axis_of

SWAY = 0.28
"""Half the width over which the dots of a group are spread, in groups."""


def spread_chart(title: str, groups: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Return a chart of shares in percent; empty where there is nothing to draw.

    Args:
        title: the chart's caption.
        groups: name -> samples of several values each, such as the trainings of an architecture. A sample is a line of
            dots, one above the other; mean and standard deviation are those of the samples' means.
    """
    known = {name: [[100 * value for value in each] for each in samples] for name, samples in groups.items() if samples}
    values = [value for samples in known.values() for sample in samples for value in sample]
    if not values:
        return ""
    low, high, ticks = axis_of(min(values), max(values))
    across = (WIDTH - LEFT - RIGHT) / len(known)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}"/>'
        f'<text class="y" x="{LEFT - 6}" y="{y(tick):.1f}">{tick:.6g} %</text>'
        for tick in ticks
    ]
    for place, (name, samples) in enumerate(known.items()):
        middle = LEFT + (place + 0.5) * across
        means = [fmean(sample) for sample in samples]
        mean, spread = fmean(means), stdev(means) if len(means) > 1 else 0.0
        bar = f"M{middle - 0.36 * across:.1f} {y(mean):.1f}h{0.72 * across:.1f}"
        whisker = f"M{middle:.1f} {y(min(high, mean + spread)):.1f}V{y(max(low, mean - spread)):.1f}"
        dots = []
        for number, sample in enumerate(samples):
            shift = SWAY * across * (2 * (number + 0.5) / len(samples) - 1)
            shown = f"{escape(name)} {number}: {', '.join(f'{value:.2f}' for value in sample)} %"
            dots += [
                f'<circle cx="{middle + shift:.1f}" cy="{y(value):.1f}" r="2.6"><title>{shown}</title></circle>'
                for value in sample
            ]
        parts.append(f'<g class="c{place % COLOURS}"><path d="{bar}"/><path d="{whisker}"/>{"".join(dots)}</g>')
        parts.append(f'<text class="x" x="{middle:.1f}" y="{HEIGHT - BOTTOM / 2:.1f}">{escape(name)}</text>')
    svg = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}{''.join(parts)}</svg></figure>"
