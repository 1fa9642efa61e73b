"""Cells of NAS-Bench-201 that compute the same function by construction, whatever their weights are.

A state of the cell is a sum of terms: the cell's input or the output of a convolution, average-pooled ``k`` times. This
holds since ``none`` adds nothing, a skip connection adds the state itself, and average pooling is linear. A convolution
(ReLU, convolution, BatchNorm) of zero is the shift that its BatchNorm learns, whatever its kernel, and pooling does not
change it. What the last state does not depend on is left out. Two cells are equal where their last states are the same
sum after renaming the convolutions; a convolution used twice is not two convolutions, which have different weights.

The 6,466 structures of the literature (Dong and Yang 2020, section 2.1) come from strings that nest the operations:
these keep sums with zero apart from sums without, and do not tell one convolution used twice from two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import Any

from genotypes.types.nasbench201 import EDGES, NASBENCH201_OPS, NASBENCH201_STATES, NASBench201Genotype

INPUT = -1
"""The cell's input, among the numbers of edges that name the convolutions."""

SHIFT = "shift"
"""The kind of a convolution of zero."""

Sum = Mapping[tuple[int, int], int]
"""(edge of the convolution or ``INPUT``, times pooled) -> how often it is added."""

Key = tuple[Any, ...]
"""A last state and its convolutions in canonical form."""

CLASSES = 5_234
"""Number of classes of cells that compute the same function."""


@dataclass(frozen=True)
class Function:
    """What a cell computes.

    Attributes:
        key: equal for cells that compute the same.
        convolutions: the edges of the convolutions that count, in canonical order: with the weights of one cell's
            ``i``-th convolution in the other's ``i``-th, cells of one key have equal outputs.
    """

    key: Key
    convolutions: tuple[int, ...]


def function(genotype: NASBench201Genotype) -> Function:
    """Return what a cell computes, in canonical form."""
    last, inputs, kinds = _states(genotype)
    alive = _reachable(last, inputs)
    signatures = {edge: _signature(edge, inputs, kinds) for edge in alive}
    orders = (
        tuple(edge for group in choice for edge in group)
        for choice in product(*(permutations(group) for group in _groups(alive, signatures)))
    )
    keyed = ((_key(order, last, inputs, kinds), order) for order in orders)
    return Function(*min(keyed))


@cache
def classes() -> dict[NASBench201Genotype, tuple[NASBench201Genotype, ...]]:
    """Return all 15,625 cells by what they compute: the cell of the fewest operations -> all that are equal to it."""
    found: dict[Key, list[NASBench201Genotype]] = {}
    for ops in product(NASBENCH201_OPS, repeat=len(EDGES)):
        genotype = NASBench201Genotype(ops)
        found.setdefault(function(genotype).key, []).append(genotype)
    return {min(members, key=_operations): tuple(members) for members in found.values()}


def _operations(genotype: NASBench201Genotype) -> tuple[int, int]:
    """Return the numbers of convolutions and of operations but ``none``."""
    convolutions = sum(op.startswith("nor_conv") for op in genotype.ops)
    return convolutions, len(genotype.ops) - genotype.ops.count("none")


def _states(genotype: NASBench201Genotype) -> tuple[Sum, dict[int, Sum], dict[int, str]]:
    """Return the last state, and the input and the kind of the convolution of each edge that has one."""
    states: list[Counter[tuple[int, int]]] = [Counter({(INPUT, 0): 1})]
    inputs: dict[int, Sum] = {}
    kinds: dict[int, str] = {}
    states += [Counter() for _ in range(1, NASBENCH201_STATES)]
    for edge, (op, (source, node)) in enumerate(zip(genotype.ops, EDGES)):
        state = states[source]
        if op == "skip_connect":
            states[node].update(state)
        elif op == "avg_pool_3x3":
            for (atom, pooled), times in state.items():
                states[node][atom, 0 if kinds.get(atom) == SHIFT else pooled + 1] += times
        elif op != "none":
            inputs[edge], kinds[edge] = dict(state), op if state else SHIFT
            states[node][edge, 0] += 1
    return states[-1], inputs, kinds


def _reachable(last: Sum, inputs: Mapping[int, Sum]) -> set[int]:
    """Return the convolutions on which the last state depends."""
    found: set[int] = set()
    left = [last]
    while left:
        new = {atom for atom, _ in left.pop() if atom != INPUT} - found
        found |= new
        left += [inputs[edge] for edge in new]
    return found


def _signature(edge: int, inputs: Mapping[int, Sum], kinds: Mapping[int, str]) -> str:
    """Return a text of a convolution and all before it, without which of them are the same."""
    terms = [
        f"{times}*{pooled}({'input' if atom == INPUT else _signature(atom, inputs, kinds)})"
        for (atom, pooled), times in inputs[edge].items()
    ]
    return f"{kinds[edge]}[{'+'.join(sorted(terms))}]"


def _groups(alive: set[int], signatures: Mapping[int, str]) -> Iterator[Sequence[int]]:
    """Yield the convolutions of each signature."""
    for signature in sorted({signatures[edge] for edge in alive}):
        yield [edge for edge in sorted(alive) if signatures[edge] == signature]


def _key(order: Sequence[int], last: Sum, inputs: Mapping[int, Sum], kinds: Mapping[int, str]) -> Key:
    """Return the last state and all convolutions, named by their place in the order."""
    place = {edge: index for index, edge in enumerate(order)} | {INPUT: INPUT}

    def named(state: Sum) -> Key:
        return tuple(sorted((place[atom], pooled, times) for (atom, pooled), times in state.items()))

    return named(last), tuple((kinds[edge], named(inputs[edge])) for edge in order)
