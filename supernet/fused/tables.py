"""Launch tables: integer tensors whose rows tell the kernels where to read and write.

A row is a ``ConvRow`` or a ``TermRow`` of ``supernet.fused.rows``, of 6 numbers, or a ``SharedRow``, of 4. Kernels read
a column of the former by its name: ``entry(table, row, GATE)``.

Axis: ``r`` row.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl
from torch import Tensor

from supernet.fused import rows
from supernet.fused.launch import table_on
from supernet.fused.rows import ConvRow, SharedRow, TermRow

Rows = Iterable[ConvRow] | Iterable[TermRow] | Iterable[SharedRow]

NORMALIZED, STATE, PLAIN = map(tl.constexpr, (rows.NORMALIZED, rows.STATE, rows.PLAIN))
"""Values of ``TermRow.form``."""

COLUMNS = tl.constexpr(len(ConvRow._fields))

CONV_KIND, CONV_SLOT, CONV_SOURCE, CONV_TARGET, CONV_GATE, CONV_BEHIND = map(tl.constexpr, range(6))
"""Columns of a convolution table, in the order of ``ConvRow``."""

TERM_FORM, TERM_PLACE, TERM_STATE, TERM_PLANE, TERM_GATE, TERM_NODE = map(tl.constexpr, range(6))
"""Columns of a term table, in the order of ``TermRow``."""

SHARED_COLUMNS = tl.constexpr(len(SharedRow._fields))

SHARED_NODE, SHARED_MAXIMUM, SHARED_AVERAGE, SHARED_GATE = map(tl.constexpr, range(4))
"""Columns of a table of shared rows, in the order of ``SharedRow``."""


@triton.jit
def entry(table, row, column):
    """Return one entry of a launch table."""
    return tl.load(table + row * COLUMNS + column)


def table_of(rows: Rows, device: torch.device) -> Tensor:
    """Return rows as a table on the device, ``(r, 6)`` or ``(r, 4)``, int32; the same tensor for the same rows."""
    return table_on(tuple(rows), device)
