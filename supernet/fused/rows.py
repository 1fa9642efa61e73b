"""Rows of launches: what each plane and each term of a node is, where it is read and where it is written.

A ``ConvRow`` is one plane of a launch of convolutions; the rows of BatchNorm's statistics have the same fields. A
``TermRow`` is one term of a node's sum, a ``SharedRow`` one edge. Triton kernels read them as tables of integers
(``supernet.fused.tables``).
"""

from __future__ import annotations

from typing import NamedTuple


class ConvRow(NamedTuple):
    """One plane of a convolution launch.

    Attributes:
        kind: index of its operation among those of the launch.
        slot: its index in the operation's stacked parameters.
        source: the plane that is read by a second half of a separable convolution; -1 - i where state i of those of
            the launch is read.
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
        state: the state that it is or that it pools: a node's number, or -1 - i for input i.
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


class SharedRow(NamedTuple):
    """What an edge needs of that which all edges that leave a state share: its pools, and the state itself.

    Attributes:
        node: where the edge leads; -1 for a row that is not used.
        maximum, average: rows of its pools' coefficients; -1 where it has none.
        gate: its skip connection's index in the flattened gates; -1 where it has none.
    """

    node: int
    maximum: int
    average: int
    gate: int


NORMALIZED, STATE, PLAIN = range(3)
"""Values of ``TermRow.form``."""
