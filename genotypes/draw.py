"""Pictures of genotypes: SVG made here, without any other program."""

import itertools
from html import escape

from genotypes.genotype import CellGenotype
from genotypes.layout import Box, Layout, lay_out

STYLE = """
    text { font: 12px system-ui, sans-serif; fill: #1b2733; text-anchor: middle; dominant-baseline: central }
    .title { font-weight: 600; font-size: 14px; text-anchor: start }
    .ground { fill: #ffffff }
    .edge { stroke: #5b6b7a; fill: none; stroke-width: 1.4 }
    .concat { stroke: #b8c2cc; fill: none; stroke-width: 1.2 }
    .input { fill: #d7ecd9; stroke: #4f8a56 }
    .node { fill: #d5e5f6; stroke: #3f6ea5 }
    .empty { fill: #f2f2f2; stroke: #a0a0a0; stroke-dasharray: 3 3 }
    .output { fill: #f8e7c4; stroke: #b08427 }
    .label { fill: #ffffff; stroke: #d3dae0 }
    .head { fill: #5b6b7a }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .ground { fill: #14191f }
      .edge { stroke: #93a4b5 } .head { fill: #93a4b5 } .concat { stroke: #4b5762 }
      .input { fill: #1f3a24; stroke: #7cba84 } .node { fill: #1d3450; stroke: #7ba7dc }
      .empty { fill: #22282e; stroke: #6c757d } .output { fill: #463510; stroke: #dcb256 }
      .label { fill: #1d242b; stroke: #3a4550 }
    }
"""


def svg(genotype: CellGenotype) -> str:
    """Both cells, one above the other. Colours follow the viewer's light or dark setting."""
    parts, top, width = [], 0.0, 0.0
    for label, cell in (("normal cell", genotype.normal), ("reduction cell", genotype.reduce)):
        layout = lay_out(cell)
        title = f"{genotype.name}: {label}" if genotype.name else label
        parts.append(f'<g transform="translate(0 {top + 30:g})">{_cell(layout)}</g>')
        parts.append(f'<text class="title" x="20" y="{top + 22:g}">{escape(title)}</text>')
        top += layout.height + 30
        width = max(width, layout.width)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {top:g}" width="{width:g}" height="{top:g}">'
    )
    arrow = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>'
    )
    ground = f'<rect class="ground" width="{width:g}" height="{top:g}"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", arrow, ground, *parts, "</svg>"]) + "\n"


def _cell(layout: Layout) -> str:
    lines = [_line([layout.boxes[index] for index in line], kind) for kind, line in layout.lines]
    return "\n".join([*lines, *(_box(box) for box in layout.boxes if box.kind != "pass")])


def _line(boxes: list[Box], kind: str) -> str:
    """A smooth line from the right side of the first box to the left side of the last, through those between."""
    path = f"M{boxes[0].x + boxes[0].width / 2:.1f} {boxes[0].y:.1f}"
    for before, after in itertools.pairwise(boxes):
        x0, x1 = before.x + before.width / 2, after.x - after.width / 2
        middle = (x0 + x1) / 2
        path += f"C{middle:.1f} {before.y:.1f} {middle:.1f} {after.y:.1f} {x1:.1f} {after.y:.1f}"
        path += f"H{after.x + after.width / 2:.1f}" if after is not boxes[-1] else ""
    marker = ' marker-end="url(#arrow)"' if kind == "edge" else ""
    return f'<path class="{kind}" d="{path}"{marker}/>'


def _box(box: Box) -> str:
    x, y = box.x - box.width / 2, box.y - box.height / 2
    shape = f'<rect class="{box.kind}" x="{x:.1f}" y="{y:.1f}" width="{box.width:g}" height="{box.height:g}" rx="6"/>'
    return f'{shape}<text x="{box.x:.1f}" y="{box.y:.1f}">{_text(box.text)}</text>'


def _text(text: str) -> str:
    """``c_{k-1}`` as c with a subscript."""
    if "_{" not in text:
        return escape(text)
    base, index = text[:-1].split("_{")
    return f'{escape(base)}<tspan dy="4" font-size="9">{escape(index)}</tspan>'
