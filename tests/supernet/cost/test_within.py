"""The most probable architecture within limits: the best of all that are enumerated."""

import math

import pytest
import torch

from darts.bilevel.discretization import top_edges
from supernet import architectures
from supernet.cost.additive import AdditiveCost
from supernet.cost.space_costs import SpaceCost, SpaceCosts
from supernet.cost.within import best_within
from supernet.errors import SpaceError
from supernet.spaces.nasbench201 import NASBench201Space
from tests.supernet.every_space import IMAGES, SMALL, SPACES, generator


def scores_of(space, seed=1):
    return {t.label: torch.rand(t.rows, len(t.candidates), generator=generator(seed)) for t in space.tables}


def probability(space, scores, picks):
    columns = {t.label: t.candidates for t in space.tables}
    pairs = [(label, row, name) for label, kept in picks.items() for row, name in kept]
    return sum(math.log(scores[label][row, columns[label].index(name)]) for label, row, name in pairs)


def random_costs(space, seed):
    """A cost for every pair, and for some pairs of candidates together."""
    values = torch.rand(10_000, generator=generator(seed)).tolist()
    pairs = [
        (t.label, row, name)
        for t in space.tables
        for row in range(t.rows)
        for name in t.candidates
        if name not in t.dropped and t.permits(row, name)
    ]
    terms = {(pair,): values[place] for place, pair in enumerate(pairs)}
    terms |= {(a, b): 2 * values[-place] for place, (a, b) in enumerate(zip(pairs, pairs[5:]), 1) if a[:2] != b[:2]}
    return exact(AdditiveCost(0.5, terms))


def exact(total):
    return SpaceCost(total, total.of)


@pytest.mark.parametrize("name", ["nasbench201", "recurrent", "nested"])
def test_the_best_of_all_architectures(name):
    space = SMALL[name]
    scores, first, second = scores_of(space), random_costs(space, 2), random_costs(space, 3)
    known = [
        (probability(space, scores, picks), first.of(picks), second.of(picks), architectures.key(space, picks))
        for picks in architectures.enumerate_all(space)
    ]
    costs = {"parameters": first, "multiply_adds": second}
    middle = [sorted(row[column] for row in known)[len(known) // 3] for column in (1, 2)]
    limits = dict(zip(costs, middle))
    within = [row for row in known if row[1] <= middle[0] and row[2] <= middle[1]]
    assert within and len(within) < len(known)
    found = best_within(space.tables, scores, limits, costs)
    assert architectures.key(space, found) == max(within)[3]


@pytest.mark.parametrize("name", ["darts", "nasbench201", "recurrent"])
def test_without_tight_limits_it_is_what_a_discretization_keeps(name):
    space = SPACES[name]
    scores, cost = scores_of(space), random_costs(space, 2)
    found = best_within(space.tables, scores, {"parameters": 1e9}, {"parameters": cost})
    assert found == {table.label: top_edges(scores[table.label], table) for table in space.tables}


def test_limits_on_memory_are_those_of_the_real_peak():
    space = NASBench201Space(IMAGES, 4, 1)
    scores, counted = scores_of(space), SpaceCosts(space, IMAGES)
    costs = {name: counted.cost(name) for name in ("memory", "parameters")}
    peak = costs["memory"].of
    free = best_within(space.tables, scores, {"parameters": 1e9}, costs)
    limits = {"memory": 0.8 * peak(free), "parameters": costs["parameters"].of(free)}
    found = best_within(space.tables, scores, limits, costs)
    assert peak(found) <= limits["memory"] and costs["parameters"].of(found) <= limits["parameters"]
    with pytest.raises(SpaceError, match="add up to the least has memory of .*; the limit is 10B"):
        best_within(space.tables, scores, {"memory": 10.0}, costs)


def test_limits_that_nothing_keeps():
    space = SMALL["nasbench201"]
    cost = exact(AdditiveCost(5.0, {(("cell", 0, "skip_connect"),): 1.0, (("cell", 1, "none"),): 1.0}))
    other = exact(AdditiveCost(0.0, {(("cell", 1, "skip_connect"),): 1.0}))
    with pytest.raises(SpaceError, match="no architecture of this space has parameters of 4; it is 5 or more"):
        best_within(space.tables, scores_of(space), {"parameters": 4.0}, {"parameters": cost})
    limits = {"parameters": 5.5, "multiply_adds": 0.5}
    with pytest.raises(SpaceError, match="is within all limits together"):
        best_within(space.tables, scores_of(space), limits, {"parameters": cost, "multiply_adds": other})
