"""The most probable architecture within limits on its costs, exactly, as an integer linear program.

A binary variable says whether a candidate is kept, one more whether a row of a group that competes is, and one for each
product of candidates that a cost or a condition needs. The objective is the sum of the kept candidates' log-scores.

Of a cost that is no sum, such as memory at its peak, the sum that it grows with is limited, more and more, until the
real cost is within its limit.

Axes: ``e`` row (in a cell: edge), ``o`` candidate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array
from torch import Tensor

from supernet.choice import ChoiceTable, Picks
from supernet.cost.additive import AdditiveCost
from supernet.cost.limits import shown
from supernet.cost.space_costs import SpaceCost
from supernet.decisions import derivable
from supernet.errors import SpaceError
from supernet.parts import Pair

LEAST = 1e-6
"""Scores below count as this: a search that is sure of a candidate may have to take another one."""


Bound = tuple[Mapping[int, float], float]
"""A sum over variables, and its largest value."""


class _Program:
    """Variables and constraints of the architectures of a space."""

    def __init__(self, tables: Sequence[ChoiceTable]):
        self.count = 0
        self.pairs: dict[Pair, int] = {}
        self._products: dict[frozenset[int], int] = {}
        self._rows: list[tuple[Mapping[int, float], float, float]] = []
        self._tables = tables
        names = {table.label: derivable(table) for table in tables}
        for table in tables:
            for row, there in enumerate(names[table.label]):
                self.pairs |= {(table.label, row, name): self._new() for name in there}
        for table in tables:
            self._decided(table, names[table.label])

    def _new(self) -> int:
        self.count += 1
        return self.count - 1

    def _decided(self, table: ChoiceTable, names: Sequence[Sequence[str]]) -> None:
        """Keep as many rows and candidates of a table as it says, where it takes part."""
        active = self._active(table)
        for span in table.spans:
            rows = [row for row in span if names[row]]
            competing = table.kept(len(span)) < len(rows)
            kept = {row: self._new() for row in rows} if competing else {}
            if competing:
                self.require({variable: 1.0 for variable in kept.values()}, table.kept(len(span)), active)
            for row in rows:
                columns = {self.pairs[table.label, row, name]: 1.0 for name in names[row]}
                self.require(columns, min(table.picks, len(names[row])), kept.get(row, active))

    def _active(self, table: ChoiceTable) -> int | None:
        """Return the variable that says whether a table takes part; None where it always does."""
        if not table.when:
            return None
        ways = [self.product((label, 0, name) for label, name in way) for way in table.when]
        active = self._new()
        for way in ways:
            self._rows.append(({active: 1.0, way: -1.0}, 0.0, math.inf))
        self._rows.append(({active: 1.0, **{way: -1.0 for way in ways}}, -math.inf, 0.0))
        return active

    def require(self, terms: dict[int, float], total: float, times: int | None) -> None:
        """Let a sum equal a number, times a variable where there is one."""
        if times is None:
            self._rows.append((terms, total, total))
        else:
            self._rows.append(({**terms, times: -total}, 0.0, 0.0))

    def product(self, pairs: Iterable[Pair]) -> int:
        """Return the variable that is 1 where all pairs are kept."""
        factors = frozenset(self.pairs[pair] for pair in pairs)
        if len(factors) == 1:
            return next(iter(factors))
        if factors not in self._products:
            self._products[factors] = found = self._new()
            for factor in factors:
                self._rows.append(({found: 1.0, factor: -1.0}, -math.inf, 0.0))
            self._rows.append(({found: 1.0, **{f: -1.0 for f in factors}}, 1.0 - len(factors), math.inf))
        return self._products[factors]

    def cost(self, cost: AdditiveCost) -> dict[int, float]:
        """Return a cost without its constant as a sum over variables."""
        found: dict[int, float] = {}
        for when, value in cost.terms.items():
            if all(pair in self.pairs for pair in when):
                variable = self.product(when)
                found[variable] = found.get(variable, 0.0) + value
        return found

    def solve(self, objective: Mapping[int, float], below: Sequence[Bound]) -> Picks | None:
        """Return the picks that minimize an objective where sums stay below bounds; None where there are none."""
        rows = [*self._rows, *((terms, -math.inf, bound) for terms, bound in below)]
        places = [
            (index, variable, value) for index, (terms, _, _) in enumerate(rows) for variable, value in terms.items()
        ]
        index, variables, values = (np.array(column) for column in zip(*places))
        matrix = coo_array((values, (index, variables)), shape=(len(rows), self.count)).tocsr()
        constraint = LinearConstraint(matrix, [low for _, low, _ in rows], [high for _, _, high in rows])
        weights = np.zeros(self.count)
        weights[list(objective)] = list(objective.values())
        solved = milp(weights, integrality=np.ones(self.count), bounds=Bounds(0, 1), constraints=constraint)
        if solved.x is None:
            return None
        kept = [pair for pair, variable in self.pairs.items() if solved.x[variable] > 0.5]
        return {
            table.label: tuple((row, name) for label, row, name in kept if label == table.label)
            for table in self._tables
        }


def best_within(
    tables: Sequence[ChoiceTable],
    scores: Mapping[str, Tensor],
    limits: Mapping[str, float],
    costs: Mapping[str, SpaceCost],
) -> Picks:
    """Return the most probable architecture within limits.

    Args:
        tables: of the space.
        scores: table label -> expected gates, ``(e, o)``, 0 or more.
        limits: cost -> its largest value.
        costs: the costs that are limited.

    Raises:
        SpaceError: where no architecture is within the limits, with the smallest possible cost.
    """
    program = _Program(tables)
    sums = {name: program.cost(costs[name].total) for name in limits}
    exact = {name: limits[name] for name in limits if costs[name].adds_up}
    below: dict[str, Bound] = {
        name: ({v: value / limit for v, value in sums[name].items()}, 1 - costs[name].total.fixed / limit)
        for name, limit in exact.items()
    }
    columns = {table.label: {name: place for place, name in enumerate(table.candidates)} for table in tables}
    objective = {
        variable: -math.log(max(float(scores[label][row, columns[label][name]]), LEAST))
        for (label, row, name), variable in program.pairs.items()
    }
    found = program.solve(objective, list(below.values()))
    if found is None:
        raise SpaceError(_too_tight(program, sums, exact, costs))
    for name in limits:
        if name not in exact:
            found = _tightened(program, objective, below, found, name=name, limit=limits[name], cost=costs[name])
    return _ordered(tables, scores, found)


def _tightened(
    program: _Program,
    objective: Mapping[int, float],
    below: dict[str, Bound],
    found: Picks,
    *,
    name: str,
    limit: float,
    cost: SpaceCost,
) -> Picks:
    """Return picks within a limit on a cost that is no sum; it grows with one, which is bounded more and more.

    Args:
        program, objective: of the architectures.
        below: the other limits; the last bound of this cost's sum is added to them.
        found: the best picks within the other limits.
        name, limit, cost: what is limited.

    Raises:
        SpaceError: where even the smallest sum has a cost above the limit.
    """
    terms = program.cost(cost.total)
    least = program.solve(terms, list(below.values()))
    assert least is not None, "the other limits can be kept"
    if cost.of(least) > limit:
        raise SpaceError(
            f"`limits`: no architecture was found within them: the one whose candidates add up to the least has {name} "
            f"of {shown(name, cost.of(least))}; the limit is {shown(name, limit)}"
        )
    while (real := cost.of(found)) > limit:
        bound = cost.total.of(found) * min(0.95, limit / real) - cost.total.fixed
        if bound <= 0:
            return least
        below[name] = {v: value / bound for v, value in terms.items()}, 1.0
        tighter = program.solve(objective, list(below.values()))
        if tighter is None:
            return least
        found = tighter
    return found


def _too_tight(
    program: _Program,
    sums: Mapping[str, dict[int, float]],
    limits: Mapping[str, float],
    costs: Mapping[str, SpaceCost],
) -> str:
    """Return which limit no architecture keeps, or that none keeps all of them."""
    for name, limit in limits.items():
        least = program.solve(sums[name], [])
        if least is not None and costs[name].of(least) > limit:
            smallest = shown(name, costs[name].of(least))
            return (
                f"`limits`: no architecture of this space has {name} of {shown(name, limit)}; it is {smallest} or more"
            )
    return f"`limits`: no architecture of this space is within all limits together ({', '.join(limits)})"


def _ordered(tables: Sequence[ChoiceTable], scores: Mapping[str, Tensor], picks: Picks) -> Picks:
    """Return picks in the order of a discretization: rows that compete by their scores, others as they stand."""
    found = dict(picks)
    for table in tables:
        if table.keep is None:
            continue
        pairs = []
        for span in table.spans:
            there = [pair for pair in picks[table.label] if pair[0] in span]
            score = {(r, n): float(scores[table.label][r, table.candidates.index(n)]) for r, n in there}
            pairs += sorted(there, key=lambda pair: -score[pair])
        found[table.label] = tuple(pairs)
    return found
