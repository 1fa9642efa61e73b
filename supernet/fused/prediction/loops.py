"""Loops of a control-flow graph: natural loops, and how they are nested.

Nodes are the numbers of basic blocks, in the order of their text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Region:
    """A loop, or at the root the whole of a program.

    Attributes:
        body: blocks of the loop, those of loops inside it included.
        inner: loops directly inside, in order.
    """

    header: int
    body: frozenset[int]
    inner: list[Region] = field(default_factory=list)

    @property
    def own(self) -> frozenset[int]:
        """Blocks that are in no loop inside."""
        return self.body.difference(*(loop.body for loop in self.inner))

    @property
    def shape(self) -> tuple[object, ...]:
        """How the loops inside are nested."""
        return tuple(loop.shape for loop in self.inner)

    def every(self) -> list[Region]:
        """Return this region and all inside, outer ones first."""
        return [self, *(region for loop in self.inner for region in loop.every())]


def nest(successors: Sequence[Sequence[int]]) -> Region:
    """Return the loops of a program that begins at block 0; blocks that are never reached are in none."""
    order = _reachable(successors)
    dominators = _dominators(successors, order)
    bodies: dict[int, set[int]] = {}
    before: dict[int, list[int]] = {node: [] for node in order}
    for node in order:
        for following in successors[node]:
            before[following].append(node)
    for node in order:
        for header in successors[node]:
            if header in dominators[node]:
                body = bodies.setdefault(header, {header})
                waiting = [node]
                while waiting:
                    inside = waiting.pop()
                    if inside not in body:
                        body.add(inside)
                        waiting += before[inside]
    root = Region(0, frozenset(order))
    for header in sorted(bodies, key=lambda each: (-len(bodies[each]), each)):
        outer = root
        while True:
            around = next((loop for loop in outer.inner if header in loop.body), None)
            if around is None:
                break
            outer = around
        outer.inner.append(Region(header, frozenset(bodies[header])))
    for region in root.every():
        region.inner.sort(key=lambda loop: loop.header)
    return root


def _reachable(successors: Sequence[Sequence[int]]) -> list[int]:
    found, waiting = {0}, [0]
    while waiting:
        for following in successors[waiting.pop()]:
            if following not in found:
                found.add(following)
                waiting.append(following)
    return sorted(found)


def _dominators(successors: Sequence[Sequence[int]], order: list[int]) -> dict[int, set[int]]:
    """Return for each block those that every way to it passes, itself included."""
    before: dict[int, list[int]] = {node: [] for node in order}
    for node in order:
        for following in successors[node]:
            before[following].append(node)
    found = {node: set(order) for node in order}
    found[0] = {0}
    changed = True
    while changed:
        changed = False
        for node in order[1:]:
            ways = [found[each] for each in before[node]]
            new = set.intersection(*ways) | {node} if ways else {node}
            changed |= new != found[node]
            found[node] = new
    return found
