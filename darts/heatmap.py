"""Pictures of a search: how the gates moved."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from torch import Tensor

from supernet.choice import ChoiceTable

ROW, HEAD = 13, 26
"""Pixels: a candidate's height, a title's height."""

STYLE = """
    text { font: 11px system-ui, sans-serif; fill: #1b2733; dominant-baseline: central }
    .title { font-weight: 600; font-size: 14px } .name { text-anchor: end; font-size: 9px } .end { text-anchor: end }
    .ground { fill: #ffffff } .frame { fill: none; stroke: #c5cdd5 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 } .ground { fill: #14191f } .frame { stroke: #3a4550 }
    }
"""
PALETTE = ("#f7fafc", "#cfe1f2", "#93c3de", "#4a97c9", "#1c6bb0", "#08306b")
"""From a gate of 0 to the largest."""


def gates_svg(history: Mapping[str, Tensor], tables: tuple[ChoiceTable, ...], edges: Mapping[str, list[str]]) -> str:
    """Heat maps of the gates over time: for each edge, candidates by epochs.

    Args:
        history: table label -> strengths after each epoch, the initial ones first, ``(t, e, o)``.
        tables: what was chosen.
        edges: table label -> a title for each row.
    """
    epochs = len(next(iter(history.values())))
    largest = max(gates.max().item() for gates in history.values())
    column = max(2, min(12, 180 // epochs))
    parts, top, width = [], 10.0, 0.0
    for table in tables:
        names = table.candidates
        label = 5.5 * max(map(len, names)) + 12
        cell_width, cell_height = label + epochs * column + 20, HEAD + ROW * len(names) + 14
        across = max(1, int(1180 // cell_width))
        parts.append(f'<text class="title" x="16" y="{top + 12:g}">{escape(table.label)}: gates by epoch</text>')
        top += 30
        for row in range(table.rows):
            x, y = 16 + (row % across) * cell_width, top + (row // across) * cell_height
            shares = history[table.label][:, row] / largest
            parts.append(_heat_map(shares, names, edges[table.label][row], x, y, label, column))
        top += -(-table.rows // across) * cell_height + 10
        width = max(width, 16 + min(across, table.rows) * cell_width)
    parts.append(_legend(largest, top))
    top += 30
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {top:g}" width="{width:g}" height="{top:g}">'
    )
    ground = f'<rect class="ground" width="{width:g}" height="{top:g}"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", ground, *parts, "</svg>"]) + "\n"


def _heat_map(
    shares: Tensor, names: tuple[str, ...], title: str, x: float, y: float, label: float, column: float
) -> str:
    """``shares`` of the largest gate, ``(t, o)``."""
    left, top = x + label, y + HEAD - 8
    parts = [f'<text x="{left:g}" y="{y + 8:g}">{escape(title)}</text>']
    for o, name in enumerate(names):
        parts.append(f'<text class="name" x="{left - 5:g}" y="{top + (o + 0.5) * ROW:g}">{escape(name)}</text>')
        for t, share in enumerate(shares[:, o].tolist()):
            place = f'x="{left + t * column:g}" y="{top + o * ROW:g}" width="{column + 0.3:g}" height="{ROW - 1}"'
            parts.append(f'<rect class="gate" {place} fill="{colour(share)}"/>')
    size = f'width="{len(shares) * column:g}" height="{ROW * len(names) - 1}"'
    return "\n".join([*parts, f'<rect class="frame" x="{left:g}" y="{top:g}" {size}/>'])


def _legend(largest: float, top: float) -> str:
    steps = [
        f'<rect x="{40 + 2 * k}" y="{top:g}" width="2.3" height="10" fill="{colour(k / 100)}"/>' for k in range(101)
    ]
    ends = f'<text x="16" y="{top + 5:g}">0</text><text x="250" y="{top + 5:g}">{largest:.2f}</text>'
    return "\n".join([ends, *steps])


def colour(share: float) -> str:
    """A share in [0, 1] as a colour; what lies outside is clipped."""
    place = min(max(share, 0.0), 1.0) * (len(PALETTE) - 1)
    low = min(int(place), len(PALETTE) - 2)
    ends = [[int(PALETTE[low + k][i : i + 2], 16) for i in (1, 3, 5)] for k in (0, 1)]
    mixed = [round(a + (b - a) * (place - low)) for a, b in zip(*ends)]
    return "#" + "".join(f"{value:02x}" for value in mixed)
