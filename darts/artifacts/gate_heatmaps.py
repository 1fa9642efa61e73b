"""Heat maps of a search's gates: at one epoch, and over all epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
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
    """Return heat maps of the gates over time: for each edge, candidates by epochs.

    Args:
        history: table label -> gates after each epoch, the initial ones first, ``(t, e, o)``.
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
    return "#" + "".join(f"{value:02x}" for value in colours(np.array(share)))


def colours(shares: np.ndarray) -> np.ndarray:
    """``colour`` of many shares, of any shape, as red, green and blue in a last axis more; 8-bit."""
    stops = np.array([[int(text[i : i + 2], 16) for i in (1, 3, 5)] for text in PALETTE], np.float64)
    place = np.clip(shares, 0.0, 1.0) * (len(stops) - 1)
    low = np.minimum(place.astype(int), len(stops) - 2)
    part = (place - low)[..., None]
    return np.rint(stops[low] + (stops[low + 1] - stops[low]) * part).astype(np.uint8)


def gates_to_json(
    gates: Mapping[str, Tensor], tables: tuple[ChoiceTable, ...], titles: Mapping[str, list[str]]
) -> dict[str, dict[str, Any]]:
    """Return gates as a line of the log holds them: table label -> its candidates, and each row's title -> its gates.

    Args:
        gates: table label -> ``(e, o)``; or ``(e,)`` where whole edges are weighed.
        tables: what is chosen.
        titles: table label -> a title for each row.
    """
    return {
        table.label: {
            "candidates": list(table.candidates),
            "rows": {
                title: [round(gate, 4) for gate in row]
                for title, row in zip(titles[table.label], gates[table.label].reshape(table.rows, -1).tolist())
            },
        }
        for table in tables
    }


def gate_image(candidates: Sequence[str], rows: Mapping[str, Sequence[float]]) -> np.ndarray:
    """Return a picture of a table's gates: a row for each edge, a column for each candidate, both with their names.

    Returns:
        An image, ``(h, w, 3)``, 8-bit.
    """
    side, left, head = 26, 90, 110
    shares = np.array(list(rows.values())) / max(1e-9, max(map(max, rows.values())))
    field = np.kron(colours(shares), np.ones((side, side, 1), np.uint8))
    # The names lie along the other axis of a picture on its side, which is turned back.
    names = Image.new("RGB", (head, side * len(candidates)), "white")
    font = ImageFont.load_default(13)
    for column, name in enumerate(candidates):
        ImageDraw.Draw(names).text((6, (column + 0.5) * side), name, "#1b2733", font, anchor="lm")
    picture = Image.new("RGB", (left + field.shape[1], head + field.shape[0]), "white")
    picture.paste(names.transpose(Image.Transpose.ROTATE_90), (left, 0))
    picture.paste(Image.fromarray(field), (left, head))
    for row, title in enumerate(rows):
        place = left - 8, head + (row + 0.5) * side
        ImageDraw.Draw(picture).text(place, plain(title), "#1b2733", font, anchor="rm")
    return np.asarray(picture)


def plain(title: str) -> str:
    """A row's title without characters that small fonts lack: c\u2096\u208b\u2082 as c(k-2)."""
    for found, written in (("\u2096\u208b\u2081", "(k-1)"), ("\u2096\u208b\u2082", "(k-2)"), ("\u2192", "to")):
        title = title.replace(found, written)
    return title
