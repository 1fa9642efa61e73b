"""Launches of convolutions as tables of addresses, which the C++ functions read: one row for each plane.

A search step has thousands of rows. Their numbers are the same in every step, and only addresses are new, so a table is
filled column by column.

Axis: ``r`` row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from torch import Tensor

from supernet.fused.cpu.functions import SIDES, Conv, address
from supernet.fused.graph.plan import Convs, plan_of

Numbers = npt.NDArray[np.int64]

COLUMN = {name: column for column, name in enumerate(Conv._fields)}
"""Field of ``Conv`` -> its column in a table."""


@dataclass(frozen=True)
class Launch:
    """The rows of a launch, ``(r,)`` each.

    Attributes:
        side, dilation: of each row's depthwise kernel.
        params: index of its depthwise weight among the parameters; the pointwise one's is the next.
        buffers: index of its running mean among the buffers; the running variance's is the next.
        slot, source, target, gate, behind: as in ``ConvRow``.
    """

    side: Numbers
    dilation: Numbers
    params: Numbers
    buffers: Numbers
    slot: Numbers
    source: Numbers
    target: Numbers
    gate: Numbers
    behind: Numbers

    def __len__(self) -> int:
        return len(self.side)

    def live(self, gates: npt.NDArray[np.bool_]) -> Launch:
        """Return the rows whose gate is not 0; ``gates`` says which are not."""
        kept = gates[self.gate]
        if kept.all():
            return self
        return Launch(*(getattr(self, field.name)[kept] for field in fields(self)))


@lru_cache(maxsize=256)
def launches_of(description: str) -> tuple[tuple[Launch, Launch], ...]:
    """Return the first and second halves of each source's convolutions, from a graph's description."""
    sources = plan_of(description).sources
    return tuple((_launch(source.first, 0), _launch(source.second, 1)) for source in sources)


def _launch(convs: Convs, half: int) -> Launch:
    rows = []
    for row in convs.rows:
        op = convs.ops[row.kind]
        tensors = op.params[0] + 2 * half, op.buffers[0] + 2 * half
        rows.append((op.side, op.dilation, *tensors, row.slot, row.source, row.target, row.gate, row.behind))
    return Launch(*np.array(rows, np.int64).reshape(-1, len(fields(Launch))).T)


def supports(description: str) -> bool:
    """Return whether the C++ functions compute every convolution of a graph."""
    return all(side in SIDES for halves in launches_of(description) for launch in halves for side in launch.side)


def empty_table(rows: int) -> Numbers:
    """Return a table without addresses."""
    return np.zeros((rows, len(Conv._fields)), np.int64)


def fill(table: Numbers, **columns: Numbers | int) -> None:
    """Write columns of a table, by the names of ``Conv``'s fields."""
    for name, values in columns.items():
        table[:, COLUMN[name]] = values


def addresses(tensors: Sequence[Tensor]) -> Numbers:
    """Return where tensors begin."""
    return np.fromiter(map(address, tensors), np.int64, len(tensors))
