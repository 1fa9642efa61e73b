"""Launch tables: integer tensors ``(r, 6)`` whose rows tell the kernels where to read and write.

There are two kinds. A row of a *convolution table* is one plane of a convolution launch; the rows of BatchNorm's
statistics have the same columns. A row of a *term table* is one term of a node's sum. Kernels read a column by its
name: ``entry(table, row, GATE)``.

Axis: ``r`` row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from supernet.fused.launch import on_device


class ConvRow(NamedTuple):
    """One plane of a convolution launch.

    Attributes:
        kind: index of its operation among those of the launch.
        slot: its index in the operation's stacked parameters.
        source: the plane that is read by a second half of a separable convolution; -1 where the state is read.
        target: the plane that is written, and the row of its statistics.
        gate: its index in the flattened gates.
        behind: index of the gradient that arrives behind its BatchNorm: a node, or a half.
    """

    kind: int
    slot: int
    source: int
    target: int
    gate: int
    behind: int


class TermRow(NamedTuple):
    """One term of a node's sum: the output of one candidate of one incoming edge.

    Attributes:
        form: ``NORMALIZED`` for a plane behind a BatchNorm, ``STATE`` for a state as it is, ``PLAIN`` for a plane as
            it is.
        place: row of its statistics and coefficients; -1 for a state.
        state: the state that it is: a node's number, or -1 - i for input i.
        plane: its plane; -1 for a state.
        gate: its index in the flattened gates.
        node: the node that it enters.
    """

    form: int
    place: int
    state: int
    plane: int
    gate: int
    node: int


Rows = Iterable[ConvRow] | Iterable[TermRow]

NORMALIZED, STATE, PLAIN = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)
"""Values of ``TermRow.form``."""

COLUMNS = tl.constexpr(len(ConvRow._fields))

CONV_KIND, CONV_SLOT, CONV_SOURCE, CONV_TARGET, CONV_GATE, CONV_BEHIND = map(tl.constexpr, range(6))
"""Columns of a convolution table, in the order of ``ConvRow``."""

TERM_FORM, TERM_PLACE, TERM_STATE, TERM_PLANE, TERM_GATE, TERM_NODE = map(tl.constexpr, range(6))
"""Columns of a term table, in the order of ``TermRow``."""


@triton.jit
def entry(table, row, column):
    """Return one entry of a launch table."""
    return tl.load(table + row * COLUMNS + column)


def table_of(rows: Rows, device: torch.device) -> Tensor:
    """Return rows as a table on the device, ``(r, 6)``, int32; the same tensor for the same rows."""
    return on_device(tuple(rows), device)
