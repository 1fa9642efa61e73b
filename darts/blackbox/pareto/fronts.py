"""Several objectives at once: domination, fronts, crowding distances and the hypervolume (Deb et al. 2002, NSGA-II).

Values are oriented: the larger, the better, in every objective. An outcome that violates limits is worse than any that
does not, and of two that do the smaller violation wins (constrained domination, Deb et al. 2002, section VI).

Axes: ``n`` point, ``m`` objective.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Values = tuple[float, ...]
"""Oriented values of a point, ``(m,)``."""


@dataclass(frozen=True)
class Outcome:
    """The result of evaluating a point.

    Attributes:
        values: oriented, one for each objective.
        violation: sum of the relative excesses over the limits; 0 within all of them.
    """

    values: Values
    violation: float = 0.0


def outcome_from(value: Outcome | float) -> Outcome:
    """Return the outcome that a strategy is told: the value itself where there is one objective."""
    return value if isinstance(value, Outcome) else Outcome((value,))


def larger_better(values: Sequence[float], maximized: Sequence[bool]) -> Values:
    """Return the values of some objectives oriented: those that are minimized with their sign turned."""
    return tuple(value if up else -value for value, up in zip(values, maximized, strict=True))


def dominates(first: Outcome, second: Outcome) -> bool:
    """Whether the first is better: at least as good in every objective and better in one, or less over the limits."""
    if first.violation > 0 or second.violation > 0:
        return first.violation < second.violation
    pairs = list(zip(first.values, second.values, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def fronts(outcomes: Sequence[Outcome]) -> list[list[int]]:
    """Return the indices of the outcomes front by front: none of a front is dominated by one of it or of a later one.

    The fast non-dominated sorting of Deb et al. 2002, section III A, in O(m n²) comparisons.
    """
    beaten: list[list[int]] = [[] for _ in outcomes]
    above = [0] * len(outcomes)
    for i, first in enumerate(outcomes):
        for j in range(i):
            if dominates(first, outcomes[j]):
                beaten[i].append(j)
                above[j] += 1
            elif dominates(outcomes[j], first):
                beaten[j].append(i)
                above[i] += 1
    found = []
    front = [i for i, count in enumerate(above) if count == 0]
    while front:
        found.append(front)
        following = []
        for i in front:
            for j in beaten[i]:
                above[j] -= 1
                if above[j] == 0:
                    following.append(j)
        front = sorted(following)
    return found


def crowding_distances(points: Sequence[Values]) -> list[float]:
    """Return how far each point of a front is from its neighbours (Deb et al. 2002, section III B).

    For each objective the points are sorted by it; a point gets the difference between its two neighbours' values,
    divided by the range of the finite ones, and the two at the ends get infinity. An objective in which all points are
    equal adds nothing. Of equal points the first keeps the distance and the others get 0: they add nothing to a front.
    """
    found = [0.0] * len(points)
    first = {point: index for index, point in reversed(list(enumerate(points)))}
    distinct = sorted(first.values())
    for objective in range(len(points[0]) if points else 0):
        order = sorted(distinct, key=lambda index: points[index][objective])
        values = [points[index][objective] for index in order]
        if values[0] == values[-1]:
            continue
        finite = [value for value in values if math.isfinite(value)]
        width = max(finite, default=0.0) - min(finite, default=0.0) or 1.0
        found[order[0]] = found[order[-1]] = math.inf
        for below, index, above in zip(values, order[1:-1], values[2:]):
            found[index] += (above - below) / width if above != below else 0.0
    return found if len(distinct) > 1 else [math.inf if index in distinct else 0.0 for index in range(len(points))]


def best_first(outcomes: Sequence[Outcome]) -> list[int]:
    """Return the indices of the outcomes by front, and within a front by falling crowding distance."""
    found = []
    for front in fronts(outcomes):
        distances = dict(zip(front, crowding_distances([outcomes[index].values for index in front])))
        found += sorted(front, key=lambda index: -distances[index])
    return found


def front_of(outcomes: Sequence[Outcome]) -> list[int]:
    """Return the indices of the Pareto set, each of several equal outcomes once, by the first objective, best first.

    Outcomes over a limit are no part of it. Two objectives take O(n log n), more of them O(n²).
    """
    within = [index for index, outcome in enumerate(outcomes) if outcome.violation == 0]
    order = sorted(within, key=lambda index: outcomes[index].values, reverse=True)
    found: list[int] = []
    for index in order:  # lexicographically falling: only an earlier one can dominate
        rivals = found[-1:] if len(outcomes[index].values) == 2 else found
        values = outcomes[index].values
        if not any(all(a >= b for a, b in zip(outcomes[rival].values, values)) for rival in rivals):
            found.append(index)
    return found


def scaled_hypervolume(points: Sequence[Values], worst: Values, best: Values) -> float:
    """Return the hypervolume above the worst corner, in units of the box between the two corners.

    Args:
        points: oriented values.
        worst, best: the corners; an objective in which they are equal keeps its unit.
    """
    corners = list(zip(worst, best, strict=True))
    scaled = [
        tuple((value - low) / (high - low or 1.0) for value, (low, high) in zip(each, corners)) for each in points
    ]
    return hypervolume(scaled, (0.0,) * len(corners))


def hypervolume(points: Sequence[Values], reference: Values) -> float:
    """Return the volume that a set dominates above a reference point (Zitzler and Thiele 1999).

    Args:
        points: oriented values; what is not better than the reference in every objective adds nothing.
        reference: oriented values of the worst corner.
    """
    inside = [point for point in set(points) if all(a > b for a, b in zip(point, reference, strict=True))]
    if not inside:
        return 0.0
    if len(reference) == 1:
        return max(point[0] for point in inside) - reference[0]
    inside.sort(reverse=True)
    total = 0.0
    for position, point in enumerate(inside):  # slices along the first objective, from the best downwards
        below = inside[position + 1][0] if position + 1 < len(inside) else reference[0]
        if point[0] > below:
            total += (point[0] - below) * hypervolume([other[1:] for other in inside[: position + 1]], reference[1:])
    return total
