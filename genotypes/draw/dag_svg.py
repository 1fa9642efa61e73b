"""SVG of directed acyclic graphs with one input: states in a row, edges as arcs above them; and of lists.

An edge that spans more states has a higher arc, so that labels do not overlap.
"""

from collections.abc import Mapping, Sequence
from html import escape

STYLE = """
    text { font: 12px system-ui, sans-serif; fill: #1b2733; dominant-baseline: central; text-anchor: middle }
    .title { font-weight: 600; font-size: 14px; text-anchor: start } .row { text-anchor: start }
    .ground { fill: #ffffff } .edge { stroke: #5b6b7a; fill: none; stroke-width: 1.4 }
    .state { fill: #d5e5f6; stroke: #3f6ea5 } .label { fill: #ffffff }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 } .ground, .label { fill: #14191f } .edge { stroke: #93a4b5 }
      .state { fill: #1d3450; stroke: #7ba7dc }
    }
"""
STEP, RISE, TOP = 112, 30, 40
"""Pixels from state to state, of an arc's height for each state that it spans, and of the title's height."""


def dag_svg(title: str, states: Sequence[str], edges: Sequence[tuple[int, int, str]]) -> str:
    """Draw states in a row and (source, target, label) edges as arcs between them."""
    highest = max((target - source for source, target, _ in edges), default=1)
    base = TOP + RISE * highest + 30
    width = STEP * (len(states) - 1) + 100
    lines, labels = [], []
    for source, target, label in edges:
        x0, x1 = 50 + STEP * source, 50 + STEP * target
        top = base - 24 - RISE * (target - source)
        peak = base - 16 - 4 / 3 * (base - 16 - top)  # a cubic reaches three quarters of the way to its handles
        lines.append(
            f'<path class="edge" d="M{x0 + 6} {base - 15}C{x0 + 16} {peak:g} {x1 - 16} {peak:g} {x1} {base - 15}"/>'
        )
        x, half = (x0 + x1) / 2, 3.4 * len(label) + 3
        labels.append(f'<rect class="label" x="{x - half:g}" y="{top - 8:g}" width="{2 * half:g}" height="16"/>')
        labels.append(f'<text x="{x:g}" y="{top:g}">{escape(label)}</text>')
    for index, state in enumerate(states):
        x = 50 + STEP * index
        labels.append(f'<rect class="state" x="{x - 30}" y="{base - 15}" width="60" height="30" rx="6"/>')
        labels.append(f'<text x="{x}" y="{base}">{escape(state)}</text>')
    return _page(title, width, base + 35, [*lines, *labels])


def list_svg(title: str, entries: Mapping[str, str]) -> str:
    """Draw one line for each entry: its label and its text."""
    rows = [f"{label}: {text}" for label, text in entries.items()]
    parts = [f'<text class="row" x="20" y="{TOP + 20 * k + 10}">{escape(row)}</text>' for k, row in enumerate(rows)]
    return _page(title, 60 + 7 * max(map(len, [title, *rows])), TOP + 20 * len(rows) + 20, parts)


def _page(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    width = max(width, 9 * len(title) + 40)
    size = f'width="{width:g}" height="{height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" {size}>'
    ground = f'<rect class="ground" {size}/><text class="title" x="20" y="22">{escape(title)}</text>'
    return "\n".join([head, f"<style>{STYLE}</style>", ground, *parts, "</svg>"]) + "\n"
