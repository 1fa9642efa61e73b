"""The picture of a Pareto set: every evaluated trial by two objectives, as SVG that follows the viewer's theme."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from darts.config.objectives import OBJECTIVES
from darts.report.charts import axis_of
from darts.report.figures import formatted, is_share, title
from darts.report.trials import StudyRecord, TrialRow

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 40, 44
"""Margins around the plotted area, in pixels."""

STYLE = """
    .pareto { --text: #1b2733; --soft: #5b6b7a; --line: #d3dae0; --ground: #ffffff; --found: #c2571a }
    .pareto text { font: 11px system-ui, sans-serif; fill: var(--soft); dominant-baseline: central }
    .pareto .heading { font-weight: 600; font-size: 13px; fill: var(--text) }
    .pareto .grid { stroke: var(--line); stroke-width: 0.7 } .pareto .y { text-anchor: end }
    .pareto .x { text-anchor: middle } .pareto .trial { fill: var(--soft); opacity: 0.45 }
    .pareto .front { fill: none; stroke: var(--found); stroke-width: 1.6 } .pareto .point { fill: var(--found) }
    .pareto .number { fill: var(--text); text-anchor: middle; font-weight: 600; paint-order: stroke;
      stroke: var(--ground); stroke-width: 3px } .pareto .ground { fill: var(--ground) }
    @media (prefers-color-scheme: dark) { .pareto { --text: #e6edf3; --soft: #9dabb8; --line: #3a4550;
      --ground: #14191f; --found: #f0935a } }
"""
"""Every rule names the picture's class, so that a picture in a page does not change the rest of it."""


def pareto_svg(study: StudyRecord, across: int = 1) -> str:
    """Return the picture, the first objective upwards; empty where no trial is evaluated.

    Args:
        study: with two objectives or more.
        across: number of the objective that runs to the right, from 0.
    """
    trials, front = study.evaluated, study.front
    if not trials:
        return ""
    xs, ys = ([(trial.values or ())[objective] for trial in trials] for objective in (across, 0))
    shares = [100 if is_share(figure_of(study.objectives[objective])) else 1 for objective in (across, 0)]
    left, right, x_ticks = axis_of(min(xs) * shares[0], max(xs) * shares[0])
    low, high, y_ticks = axis_of(min(ys) * shares[1], max(ys) * shares[1])

    def place(trial: TrialRow) -> tuple[float, float]:
        values = trial.values or ()
        return at(shares[0] * values[across], shares[1] * values[0])

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT),
            TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM),
        )

    parts = [f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>']
    for tick in y_ticks:
        y = at(left, tick)[1]
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="y" x="{LEFT - 6}" y="{y:.1f}">{_number(tick)}</text>')
    for tick in x_ticks:
        x = at(tick, low)[0]
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="x" x="{x:.1f}" y="{HEIGHT - BOTTOM + 12}">{_number(tick)}</text>')
    names = [named(study.objectives[objective]) for objective in (across, 0)]
    names = [f"{name}, %" if share == 100 else name for name, share in zip(names, shares)]
    parts.append(f'<text class="heading" x="{LEFT - 40}" y="12">{escape(names[1])}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="heading x" x="{middle}" y="{HEIGHT - 10}">{escape(names[0])}</text>')
    found = {trial.number for trial in front}
    for trial in (trial for trial in trials if trial.number not in found):
        parts.append(_circle("trial", place(trial), 3, f"trial {trial.number}: {shown(study, trial)}"))
    parts.append(f'<path class="front" d="{_steps(study, [place(trial) for trial in front], across)}"/>')
    for number, trial in enumerate(front, 1):
        x, y = place(trial)
        parts.append(_circle("point", (x, y), 4.5, f"@{number}, trial {trial.number}: {shown(study, trial)}"))
        if number == 1 or number == len(front) or _far(place(front[number - 2]), (x, y)):
            parts.append(f'<text class="number" x="{x:.1f}" y="{y - 12:.1f}">{number}</text>')
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pareto" {size} role="img" '
        f'aria-label="{escape(" against ".join(reversed(names)))}"><style>{STYLE}</style>{"".join(parts)}</svg>\n'
    )


def named(objective: str) -> str:
    """Return an objective as a picture names it."""
    return title(figure_of(objective))


def figure_of(objective: str) -> str:
    """Return the figure of an objective, by which it is named and formatted."""
    return OBJECTIVES[objective].figure if objective in OBJECTIVES else objective


def shown(study: StudyRecord, trial: TrialRow) -> str:
    """Return the values of a trial in words."""
    pairs = zip(study.objectives, trial.values or ())
    return ", ".join(f"{named(name)} {formatted(figure_of(name), value)}" for name, value in pairs)


def _number(value: float) -> str:
    """Return the number beside a tick."""
    for unit, size in ((" G", 1e9), (" M", 1e6), (" k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.4g}"


def _circle(kind: str, place: tuple[float, float], radius: float, text: str) -> str:
    x, y = place
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"><title>{escape(text)}</title></circle>'


def _steps(study: StudyRecord, places: Sequence[tuple[float, float]], across: int) -> str:
    """Return the border of what the front dominates: from point to point, first along the objective that gets worse.

    With more than two objectives the points are joined in their order across.
    """
    ordered = sorted(places)
    if len(study.objectives) > 2:
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ordered)
    minimized = not study.maximized[across]
    path = f"M{ordered[0][0]:.1f} {ordered[0][1]:.1f}"
    for x, y in ordered[1:]:
        path += f"H{x:.1f}V{y:.1f}" if minimized else f"V{y:.1f}H{x:.1f}"
    return path


def _far(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Whether two numbers beside these points do not touch."""
    return abs(first[0] - second[0]) > 16 or abs(first[1] - second[1]) > 13
