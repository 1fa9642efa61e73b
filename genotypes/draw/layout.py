"""A layered layout of a cell's graph, after Sugiyama et al. (1981): ranks, order within ranks, coordinates.

States have even ranks, the labels of edges odd ones, so labels are boxes of the layout and nothing overlaps. An edge
that passes a rank has a dummy box there, so that it does not cross another box.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from genotypes.types.cell import CELL_INPUTS, Cell

GAP = 14
"""The minimal vertical distance of two boxes, in pixels."""


@dataclass
class Box:
    """A state, an edge's label, or a dummy of a passing edge (kind ``pass``). ``x``, ``y`` are its centre."""

    text: str
    kind: str
    width: float
    height: float
    rank: int
    x: float = 0.0
    y: float = 0.0


@dataclass
class Layout:
    """Boxes, the lines that connect them (kind, and indices of boxes from source to target), and the picture's size.

    Lines are of kind ``edge``, ``unbuilt`` (an edge from a state without a value) or ``concat``.
    """

    boxes: list[Box] = field(default_factory=list)
    lines: list[tuple[str, list[int]]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


def lay_out(cell: Cell) -> Layout:
    """Lay out a cell's states and edges from left to right."""
    layers = [0] * CELL_INPUTS
    for edges in cell.nodes:
        layers.append(1 + max((layers[edge.source] for edge in edges), default=0))
    last = 1 + max(layers)
    layout, alive = Layout(), cell.alive
    for index, (name, layer) in enumerate(zip(cell.names, layers)):
        kind = "input" if index < CELL_INPUTS else "node" if index in alive else "empty"
        layout.boxes.append(Box(name, kind, 50, 30, 2 * layer))
    output = len(layout.boxes)
    layout.boxes.append(Box("c_{k}", "output", 50, 30, 2 * last))
    for target, edges in enumerate(cell.nodes, CELL_INPUTS):
        for edge in edges:
            _connect(layout, edge.source, target, "edge" if edge.source in alive else "unbuilt", edge.op)
    for state in cell.outputs:
        _connect(layout, state, output, "concat")
    ranks = [[i for i, box in enumerate(layout.boxes) if box.rank == rank] for rank in range(2 * last + 1)]
    neighbours = _neighbours(layout)
    _order(ranks, neighbours)
    _set_coordinates(layout, ranks, neighbours)
    return layout


def _connect(layout: Layout, source: int, target: int, kind: str, label: str | None = None) -> None:
    boxes = layout.boxes
    line = [source]
    for rank in range(boxes[source].rank + 1, boxes[target].rank):
        line.append(len(boxes))
        text = label if label is not None and rank == boxes[target].rank - 1 else None
        boxes.append(Box("", "pass", 0, 4, rank) if text is None else Box(text, "label", 7 * len(text) + 14, 22, rank))
    layout.lines.append((kind, [*line, target]))


def _neighbours(layout: Layout) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in layout.boxes]
    for _, line in layout.lines:
        for left, right in itertools.pairwise(line):
            found[left].append(right)
            found[right].append(left)
    return found


def _order(ranks: list[list[int]], neighbours: Sequence[Sequence[int]]) -> None:
    """Reduce crossings: sort ranks, in both directions, by the mean position of neighbours on the preceding rank."""
    for sweep in range(24):
        order = range(1, len(ranks)) if sweep % 2 == 0 else range(len(ranks) - 2, -1, -1)
        for rank in order:
            fixed = ranks[rank - 1 if sweep % 2 == 0 else rank + 1]
            positions = {box: position for position, box in enumerate(fixed)}

            def mean(box: int, positions: dict[int, int] = positions) -> float:
                known = [positions[other] for other in neighbours[box] if other in positions]
                return sum(known) / len(known) if known else len(positions) / 2

            ranks[rank].sort(key=mean)


def _set_coordinates(layout: Layout, ranks: Sequence[Sequence[int]], neighbours: Sequence[Sequence[int]]) -> None:
    boxes = layout.boxes
    x = 20.0
    for rank in ranks:
        width = max((boxes[index].width for index in rank), default=0)
        for index in rank:
            boxes[index].x = x + width / 2
            if boxes[index].kind == "pass":
                boxes[index].width = width
        x += width + 32
    layout.width = x - 12
    for rank in ranks:
        _stack(boxes, rank, [boxes[index].y for index in rank])
    for sweep in range(40):
        for rank in ranks if sweep % 2 == 0 else reversed(ranks):
            wanted = [sum(boxes[o].y for o in neighbours[i]) / max(len(neighbours[i]), 1) for i in rank]
            _stack(boxes, rank, wanted)
    top = min(box.y - box.height / 2 for box in boxes)
    for box in boxes:
        box.y += 20 - top
    layout.height = max(box.y + box.height / 2 for box in boxes) + 20


def _stack(boxes: Sequence[Box], rank: Sequence[int], wanted: Sequence[float]) -> None:
    """Set the heights of a rank's boxes as close as possible to the wanted ones, in order and without overlap.

    Boxes that would overlap form a block, which moves to the mean of its members' wanted heights (isotonic regression).
    """
    offsets, offset = [], 0.0
    for position, index in enumerate(rank):
        if position:
            offset += (boxes[rank[position - 1]].height + boxes[index].height) / 2 + GAP
        offsets.append(offset)
    blocks: list[list[float]] = []
    for height, away in zip(wanted, offsets):
        blocks.append([height - away, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, n), (b, m) = blocks[-2], blocks.pop()
            blocks[-1] = [(a * n + b * m) / (n + m), n + m]
    starts = [start for start, size in blocks for _ in range(int(size))]
    for index, start, away in zip(rank, starts, offsets):
        boxes[index].y = start + away
