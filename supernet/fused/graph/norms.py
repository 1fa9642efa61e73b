"""The BatchNorms of a mixed graph, operation by operation, with the rows of their statistics.

Axes: ``e`` edge, ``c`` channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from supernet.fused.graph.plan import Op, Source
from supernet.fused.rows import ConvRow


@dataclass(frozen=True)
class StackedNorm:
    """The BatchNorms behind one operation of a source, one for each of its edges.

    Attributes:
        running_mean, running_var: stacked buffers, ``(e, c)``.
        slots, places, gates: of each edge, its row in the buffers, the row of its statistics, and the index of its
            gate.
    """

    running_mean: Tensor
    running_var: Tensor
    slots: tuple[int, ...]
    places: tuple[int, ...]
    gates: tuple[int, ...]


def norms_of(source: Source, buffers: Sequence[Tensor]) -> Iterator[StackedNorm]:
    """Yield the BatchNorms of a source, operation by operation."""

    def stacked(op: Op, half: int, rows: Sequence[ConvRow]) -> StackedNorm:
        first = op.buffers[0] + 2 * half
        slots, places, gates = zip(*((row.slot, row.target, row.gate) for row in rows))
        return StackedNorm(buffers[first], buffers[first + 1], slots, places, gates)

    for convs, half in ((source.first, 0), (source.second, 1)):
        for kind, op in enumerate(convs.ops):
            yield stacked(op, half, [row for row in convs.rows if row.kind == kind])
    for number, op in enumerate(source.pools):
        if op.normed:
            yield stacked(op, 0, [row for row in source.pool_rows if row.kind == number])
    for conv in source.library:
        first, slots = conv.op.buffers[0], tuple(range(len(conv.planes)))
        yield StackedNorm(buffers[first], buffers[first + 1], slots, conv.planes, conv.gates)
