"""Costs that are sums over candidates: of a whole network as a function of its architecture, or of gates.

The cost of an architecture is a constant plus the costs of the parts (``supernet.parts``) that its candidates bring. As
a function of gates it is the expectation, where every decision is drawn by itself (Cai et al. 2019, equation 2): the
cost of a part times the probabilities of the candidates that it needs.

Axes: ``e`` row (in a cell: edge), ``o`` candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from supernet.choice import ChoiceTable, Gates, Picks
from supernet.cost.network import on_meta
from supernet.errors import SpaceError
from supernet.parts import Pair, Part, keys_of
from supernet.shapes import Shape
from supernet.spaces.space import SearchSpace


@dataclass(frozen=True)
class AdditiveCost:
    """A constant and the costs of kept candidates.

    Attributes:
        fixed: what every network costs.
        terms: pairs that are all kept -> what they cost together.
    """

    fixed: float
    terms: Mapping[tuple[Pair, ...], float]

    def of(self, picks: Picks) -> float:
        """Return the cost of an architecture."""
        kept = {(label, row, name) for label, pairs in picks.items() for row, name in pairs}
        return self.fixed + sum(cost for when, cost in self.terms.items() if kept.issuperset(when))

    def expected(self, gates: Gates, tables: Sequence[ChoiceTable]) -> Tensor:
        """Return the expected cost under gates, ``()``; see ``Expectation``."""
        return Expectation(self, tables, gates[tables[0].label])(gates)

    def of_candidates(self, tables: Sequence[ChoiceTable]) -> dict[str, Tensor]:
        """Return what each candidate costs by itself: table label -> costs, ``(e, o)``; 0 where it costs nothing."""
        found = {table.label: torch.zeros(table.rows, len(table.candidates)) for table in tables}
        columns = {table.label: table.candidates.index for table in tables}
        for when, cost in self.terms.items():
            if len(when) == 1:
                ((label, row, name),) = when
                found[label][row, columns[label](name)] += cost
        return found

    @property
    def constant(self) -> bool:
        """Whether every architecture costs the same."""
        return not any(self.terms.values())


class Expectation:
    """The expected cost of an architecture under gates, as a function that is differentiable by them.

    A row keeps each candidate that can be derived with its share of the row's gates. Where rows compete, those are kept
    whose largest gates are largest, as a discretization keeps them.

    Args:
        cost: of the space.
        tables: of the space.
        like: a tensor of the gates' type and device.
    """

    def __init__(self, cost: AdditiveCost, tables: Sequence[ChoiceTable], like: Tensor):
        self.tables, self.fixed = tuple(tables), cost.fixed
        place: dict[Pair, int] = {}
        for table in tables:
            start = len(place)
            names = table.candidates
            place |= {
                (table.label, row, name): start + row * len(names) + column
                for row in range(table.rows)
                for column, name in enumerate(names)
            }
        self._derivable = {
            t.label: torch.tensor([name not in t.dropped for name in t.candidates], device=like.device) for t in tables
        }
        self._terms = []
        for size in sorted({len(when) for when in cost.terms}):
            of_size = [(when, value) for when, value in cost.terms.items() if len(when) == size]
            indices = torch.tensor([[place[pair] for pair in when] for when, _ in of_size], device=like.device)
            self._terms.append((indices, like.new_tensor([value for _, value in of_size])))

    def __call__(self, gates: Gates) -> Tensor:
        """Return the expected cost, ``()``.

        Args:
            gates: table label -> expected gates, ``(e, o)``.
        """
        kept = torch.cat([self._kept(gates[table.label], table).flatten() for table in self.tables])
        sums = [(kept[indices].prod(1) * costs).sum() for indices, costs in self._terms]
        return self.fixed + sum(sums, start=torch.zeros_like(kept[0]))

    def _kept(self, gates: Tensor, table: ChoiceTable) -> Tensor:
        """Return the probability with which each candidate of each row is kept, ``(e, o)``."""
        usable = gates.clamp_min(0) * self._derivable[table.label]
        shares = (table.picks * usable / usable.sum(1, keepdim=True).clamp_min(1e-12)).clamp_max(1)
        if table.keep is None:
            return shares
        best = usable.detach().max(1).values
        kept = torch.zeros_like(best)
        for span in table.spans:
            among = best[span.start : span.stop]
            kept[span.start : span.stop].scatter_(0, among.topk(table.kept(len(span))).indices, 1.0)
        return shares * kept[:, None]


def parts_of(space: SearchSpace, shape: Shape, batch: int = 1) -> list[Part]:
    """Return the parts of a space's networks.

    Raises:
        SpaceError: where the costs of the space's candidates do not add up.
    """
    parts = space.parts(on_meta(shape.inputs(batch)))
    if parts is None:
        raise SpaceError(
            "the costs of candidates do not add up in this space, as widths depend on the architecture; set another "
            "`space.name`"
        )
    return parts


def sums(parts: Sequence[Part], cost_of: Callable[[Part], float]) -> AdditiveCost:
    """Return the cost of parts; those that compute the same are counted once. The constant is 0."""
    known: dict[str, float] = {}
    terms: dict[tuple[Pair, ...], float] = {}
    for key, part in zip(keys_of(parts), parts):
        if key not in known:
            known[key] = cost_of(part)
        terms[part.when] = terms.get(part.when, 0.0) + known[key]
    return AdditiveCost(0.0, terms)
