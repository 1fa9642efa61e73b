"""Pictures of cells as SVG, DOT and text, without any other program."""

import itertools
import json
from html import escape

from genotypes.draw.layout import Box, Layout, lay_out
from genotypes.types.cell import CELL_INPUTS, Cell, CellGenotype

THEMES = ("auto", "light", "dark")

STYLE = """
    .genotype text { font: 12px system-ui, sans-serif; text-anchor: middle; dominant-baseline: central }
    .genotype .title { font-weight: 600; font-size: 14px; text-anchor: start }
    .genotype .edge { fill: none; stroke-width: 1.4 }
    .genotype .concat, .genotype .unbuilt { fill: none; stroke-width: 1.2 }
    .genotype .empty, .genotype .unbuilt { stroke-dasharray: 3 3 }
"""
"""Every rule names the picture's class, so that a picture embedded in a page does not change the rest of it."""

COLOURS = {
    "light": {
        "text": "#1b2733",
        "ground": "#ffffff",
        "edge": "#5b6b7a",
        "concat": "#b8c2cc",
        "unbuilt": "#a0a0a0",
        "input": ("#d7ecd9", "#4f8a56"),
        "node": ("#d5e5f6", "#3f6ea5"),
        "empty": ("#f2f2f2", "#a0a0a0"),
        "output": ("#f8e7c4", "#b08427"),
        "label": ("#ffffff", "#d3dae0"),
    },
    "dark": {
        "text": "#e6edf3",
        "ground": "#14191f",
        "edge": "#93a4b5",
        "concat": "#4b5762",
        "unbuilt": "#6c757d",
        "input": ("#1f3a24", "#7cba84"),
        "node": ("#1d3450", "#7ba7dc"),
        "empty": ("#22282e", "#6c757d"),
        "output": ("#463510", "#dcb256"),
        "label": ("#1d242b", "#3a4550"),
    },
}
"""Element -> its colour, or the colours of its filling and its border."""

TITLE = 30
"""The height of a title, in pixels."""

CELLS = (("normal", "normal cell"), ("reduce", "reduction cell"))


def svg(genotype: CellGenotype, theme: str = "auto") -> str:
    """Draw both cells, one above the other. The theme ``auto`` follows the viewer's light or dark setting."""
    cells = titled_layouts(genotype)
    parts, top = [], 0.0
    for title, layout in cells:
        parts.append(f'<g transform="translate(0 {top + TITLE:g})">{_cell(layout)}</g>')
        parts.append(f'<text class="title" x="20" y="{top + 22:g}">{escape(title)}</text>')
        top += layout.height + TITLE
    width, height = size_of(cells)
    size = f'width="{width:g}" height="{height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="genotype" viewBox="0 0 {width:g} {height:g}" {size}>'
    arrow = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>'
    )
    colours = _colour_rules("light" if theme == "auto" else theme)
    if theme == "auto":
        colours += f"    @media (prefers-color-scheme: dark) {{\n{_colour_rules('dark')}    }}\n"
    ground = f'<rect class="ground" {size}/>'
    return "\n".join([head, f"<style>{STYLE}{colours}</style>", arrow, ground, *parts, "</svg>"]) + "\n"


def titled_layouts(genotype: CellGenotype) -> list[tuple[str, Layout]]:
    """Return the titles and layouts of both cells."""
    head = f"{genotype.name}: " if genotype.name else ""
    return [(head + title, lay_out(getattr(genotype, label))) for label, title in CELLS]


def size_of(cells: list[tuple[str, Layout]]) -> tuple[float, float]:
    """Return width and height in pixels of a picture of cells, one above the other, with their titles."""
    width = max(max(layout.width, 9 * len(title.encode()) + 40) for title, layout in cells)
    return width, sum(layout.height + TITLE for _, layout in cells)


def _colour_rules(theme: str) -> str:
    colours = COLOURS[theme]
    rules = [f"text {{ fill: {colours['text']} }}", f".ground {{ fill: {colours['ground']} }}"]
    rules += [f".{kind} {{ stroke: {colours[kind]} }}" for kind in ("edge", "concat", "unbuilt")]
    rules += [f".head {{ fill: {colours['edge']} }}"]
    boxes = ("input", "node", "empty", "output", "label")
    rules += [f".{kind} {{ fill: {colours[kind][0]}; stroke: {colours[kind][1]} }}" for kind in boxes]
    return "".join(f"    .genotype {rule}\n" for rule in rules)


def _cell(layout: Layout) -> str:
    lines = [_line([layout.boxes[index] for index in line], kind) for kind, line in layout.lines]
    return "\n".join([*lines, *(_box(box) for box in layout.boxes if box.kind != "pass")])


def _line(boxes: list[Box], kind: str) -> str:
    (x, y), *segments = curve(boxes)
    path = f"M{x:.1f} {y:.1f}"
    for segment in segments:
        path += ("C" if len(segment) == 6 else "L") + " ".join(f"{number:.1f}" for number in segment)
    marker = ' marker-end="url(#arrow)"' if kind == "edge" else ""
    return f'<path class="{kind}" d="{path}"{marker}/>'


def curve(boxes: list[Box]) -> list[tuple[float, ...]]:
    """Return a smooth line from the right side of the first box to the left side of the last, through those between.

    Returns:
        Its first point ``(x, y)``, then cubic segments ``(x, y, x, y, x, y)`` and straight ones ``(x, y)``.
    """
    segments: list[tuple[float, ...]] = [(boxes[0].x + boxes[0].width / 2, boxes[0].y)]
    for before, after in itertools.pairwise(boxes):
        x0, x1 = before.x + before.width / 2, after.x - after.width / 2
        middle = (x0 + x1) / 2
        segments.append((middle, before.y, middle, after.y, x1, after.y))
        if after is not boxes[-1]:
            segments.append((after.x + after.width / 2, after.y))
    return segments


def _box(box: Box) -> str:
    x, y = box.x - box.width / 2, box.y - box.height / 2
    shape = f'<rect class="{box.kind}" x="{x:.1f}" y="{y:.1f}" width="{box.width:g}" height="{box.height:g}" rx="6"/>'
    return f'{shape}<text x="{box.x:.1f}" y="{box.y:.1f}">{_text(box.text)}</text>'


def _text(text: str) -> str:
    """Return ``c_{k-1}`` as SVG: c with a subscript."""
    base, index = subscript(text)
    return escape(base) + (f'<tspan dy="4" font-size="9">{escape(index)}</tspan>' if index else "")


def subscript(text: str) -> tuple[str, str]:
    """Split ``c_{k-1}`` into its base and its subscript, which is empty where there is none."""
    base, _, index = text.partition("_{")
    return (base, index[:-1]) if index else (text, "")


def dot(genotype: CellGenotype) -> str:
    """Return both cells in Graphviz's language, for ``dot -Tpdf`` and similar commands."""
    lines = [f"digraph {_quoted(genotype.name or 'genotype')} {{", '  rankdir=LR; node [shape=box, style="rounded"];']
    for label, title in CELLS:
        cell: Cell = getattr(genotype, label)
        lines += [f"  subgraph cluster_{label} {{", f"    label={_quoted(title)};"]
        end = len(cell.names)
        for state, name in enumerate([*cell.names, "c_{k}"]):
            base, index = subscript(name)
            text = f"<{base}<sub>{index}</sub>>" if index else _quoted(base)
            style = "" if state == end or state in cell.alive else ', style="rounded,dashed"'
            lines.append(f"    {label}_{state} [label={text}{style}];")
        for target, edges in enumerate(cell.nodes, CELL_INPUTS):
            for edge in edges:
                style = "" if edge.source in cell.alive else ", style=dashed"
                lines.append(f"    {label}_{edge.source} -> {label}_{target} [label={_quoted(edge.op)}{style}];")
        lines += [f"    {label}_{state} -> {label}_{end} [color=gray, arrowhead=none];" for state in cell.outputs]
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def outline(genotype: CellGenotype) -> str:
    """Draw both cells for a terminal: node by node, one edge a line."""
    lines = []
    for label, title in CELLS:
        lines += [title, "", *_outline_of(getattr(genotype, label)), ""]
    return "\n".join(lines)


def _outline_of(cell: Cell) -> list[str]:
    names = [name if state < CELL_INPUTS else f"node {name}" for state, name in enumerate(cell.names)]
    alive, used, lines = cell.alive, cell.used, []
    ops = [[edge.op + ("" if edge.source in alive else " (not built)") for edge in edges] for edges in cell.nodes]
    wide, long = max(map(len, names)), max(len(op) for row in ops for op in row)
    for state, edges in enumerate(cell.nodes, CELL_INPUTS):
        note = "" if state in used else " (never used)" if state in alive else " (left out)"
        target = f"─▶ {names[state]}{note}"
        if not edges:
            lines.append(f"  {'no input':{wide + long + 8}}{target}")
        for position, (edge, op) in enumerate(zip(edges, ops[state - CELL_INPUTS])):
            stem = f"  {names[edge.source]:{wide}} ── {op} {'─' * (long - len(op) + 2)}"
            lines.append(f"{stem}{_joint(position, len(edges))}{target if position == 0 else ''}")
        lines.append("")
    outputs = ", ".join(names[state] for state in cell.outputs)
    return [*lines, f"  {outputs} concatenated ─▶ c_{{k}}"]


def _joint(position: int, count: int) -> str:
    """Return the character that connects an edge to the node's line: the first leads to the node, others up to it."""
    if count == 1:
        return "─"
    return "┬" if position == 0 else "┘" if position == count - 1 else "┤"
