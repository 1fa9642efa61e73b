"""Fronts, crowding distances and hypervolumes computed by hand, and NSGA-II on the real NAS-Bench-201."""

import csv
import itertools
import math
import os
from pathlib import Path
from random import Random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts.benchmarks.nasbench201 import DATA
from darts.blackbox.pareto.fronts import (
    Outcome,
    best_first,
    crowding_distances,
    dominates,
    front_of,
    fronts,
    hypervolume,
)
from darts.blackbox.points import ArchitectureDecisions, neighbours
from darts.blackbox.strategies import NSGA2, ParetoLocalSearch
from supernet.shapes import ImageShape
from supernet.spaces.nasbench201 import NASBench201Space
from tests.darts.blackbox.test_strategies import POINTS, Small

values = st.tuples(st.integers(0, 4).map(float), st.integers(0, 4).map(float), st.integers(0, 4).map(float))
outcomes = st.lists(st.builds(Outcome, values, st.sampled_from([0.0, 0.0, 0.0, 0.1, 0.7])), max_size=14)

HAND = [(1.0, 5.0), (3.0, 4.0), (2.0, 4.0), (5.0, 1.0), (3.0, 3.0), (0.0, 0.0)]
"""Fronts, larger is better: (1,5) (3,4) (5,1); then (2,4) (3,3); then (0,0)."""


def test_fronts_by_hand():
    assert fronts([Outcome(each) for each in HAND]) == [[0, 1, 3], [2, 4], [5]]
    assert front_of([Outcome(each) for each in HAND]) == [3, 1, 0], "by the first objective, best first"


def test_a_violation_is_worse_than_any_value():
    over, less, within = Outcome((9.0, 9.0), 0.5), Outcome((0.0, 0.0), 0.2), Outcome((-1.0, -1.0))
    assert fronts([over, less, within]) == [[2], [1], [0]]
    assert front_of([over, less]) == [] and not dominates(over, over)


def test_equal_outcomes_share_a_front_and_are_listed_once():
    twice = [Outcome((1.0, 2.0)), Outcome((1.0, 2.0)), Outcome((2.0, 1.0))]
    assert fronts(twice) == [[0, 1, 2]] and front_of(twice) == [2, 0]


def test_crowding_distances_by_hand():
    """Sorted by the first: (0,10) (2,8) (3,5) (10,0). Ranges are 10 and 10."""
    points = [(3.0, 5.0), (0.0, 10.0), (10.0, 0.0), (2.0, 8.0)]
    expected = [(10 - 2) / 10 + (8 - 0) / 10, math.inf, math.inf, (3 - 0) / 10 + (10 - 5) / 10]
    assert crowding_distances(points) == pytest.approx(expected), "each distance belongs to its own point"
    order = [2, 0, 3, 1]
    assert crowding_distances([points[k] for k in order]) == pytest.approx([expected[k] for k in order])


def test_crowding_without_a_range():
    assert crowding_distances([]) == []
    assert crowding_distances([(1.0, 2.0)]) == [math.inf]
    assert crowding_distances([(1.0, 5.0), (2.0, 5.0), (4.0, 5.0)]) == [math.inf, 1.0, math.inf], "equal in the second"
    assert crowding_distances([(1.0, 5.0)] * 3) == [math.inf, 0.0, 0.0], "copies add nothing"


def test_crowding_with_infinite_values():
    distances = crowding_distances([(-math.inf, 1.0), (1.0, 2.0), (3.0, 3.0), (5.0, 4.0)])
    assert distances[0] == distances[3] == distances[1] == math.inf and distances[2] == pytest.approx(4 / 4 + 2 / 3)
    assert not any(map(math.isnan, crowding_distances([(-math.inf, 1.0), (-math.inf, 2.0), (-math.inf, 3.0)])))


def test_the_emptier_place_comes_first():
    points = [(0.0, 10.0), (1.0, 9.0), (2.0, 8.0), (7.0, 3.0), (10.0, 0.0), (0.0, 0.0)]
    assert best_first([Outcome(each) for each in points]) == [0, 4, 3, 2, 1, 5]


@given(outcomes)
def test_fronts_are_those_of_the_definition(found):
    layers, rest = [], set(range(len(found)))
    while rest:
        layers.append(sorted(i for i in rest if not any(dominates(found[j], found[i]) for j in rest)))
        rest -= set(layers[-1])
    assert fronts(found) == layers
    first = {found[i].values for i in layers[0] if found[i].violation == 0} if layers else set()
    assert {found[i].values for i in front_of(found)} == first
    assert sorted(best_first(found)) == list(range(len(found)))


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=8))
def test_the_hypervolume_is_the_number_of_unit_cubes(points):
    cubes = {cube for point in points for cube in itertools.product(*(range(side) for side in point))}
    assert hypervolume([tuple(map(float, point)) for point in points], (0.0, 0.0, 0.0)) == len(cubes)


def test_the_hypervolume_by_hand():
    assert hypervolume([(1.0, 5.0), (3.0, 4.0), (5.0, 1.0)], (0.0, 0.0)) == 5 + 2 * 4 + 2 * 1
    assert hypervolume([(3.0,), (2.0,)], (1.0,)) == 2 and hypervolume([(0.0, 9.0)], (0.0, 0.0)) == 0


def evolve(options, count, outcome_of, seed=0):
    """A search, and the points that it asked for."""
    search, asked = options.start(Small()), []
    for number in range(count):
        point = search.ask(Random(f"{seed}:{number}"))
        asked.append(point)
        search.tell(point, outcome_of(point))
    return search, asked


def trade_off(point):
    a, c = int(point["a"]), int(point["c"])
    return Outcome((float(a - c), float(c)))


def test_nsga2_finds_the_whole_front():
    search, asked = evolve(NSGA2(population=8), 40, trade_off)
    assert len({tuple(point.items()) for point in asked}) > 30, "nothing is asked twice while there is something new"
    best = {trade_off(point).values for point in POINTS}
    best = {each for each in best if not any(dominates(Outcome(other), Outcome(each)) for other in best)}
    assert best <= {outcome.values for outcome, _ in search.members}


@pytest.mark.parametrize("first", [1, 5])
def test_pareto_local_search_finds_the_whole_front_and_asks_nothing_twice(first):
    search, asked = evolve(ParetoLocalSearch(first), len(POINTS), trade_off)
    assert len({tuple(point.items()) for point in asked}) == len(POINTS)
    best = {trade_off(point).values for point in POINTS}
    best = {each for each in best if not any(dominates(Outcome(other), Outcome(each)) for other in best)}
    assert {member.outcome.values for member in search.members} == best


def test_pareto_local_search_asks_for_neighbours_of_the_front():
    search, asked = evolve(ParetoLocalSearch(3), 3, trade_off)
    for number in range(3, 9):
        centres = [member.point for member in search.members]
        point = search.ask(Random(f"1:{number}"))
        near = [each for centre in centres for each in neighbours(Small(), centre, Random(0))]
        assert point in near or all(each in asked for each in near)
        asked.append(point)
        search.tell(point, trade_off(point))


def test_pareto_local_search_leaves_failed_points_and_goes_within_the_limits_first():
    def limited(point):
        excess = max(0.0, int(point["c"]) - 0.5)
        return None if point["a"] == "2" else Outcome(trade_off(point).values, violation=excess)

    search, _ = evolve(ParetoLocalSearch(4), 36, limited)
    assert search.members and all(member.outcome.violation == 0 for member in search.members)
    assert all(member.point["a"] != "2" for member in search.members)
    over, _ = evolve(ParetoLocalSearch(4), 36, lambda point: Outcome(trade_off(point).values, 1.0 + int(point["a"])))
    assert {member.point["a"] for member in over.members} == {"0"}, "the smallest violation"


def test_nsga2_leaves_failed_and_pruned_points_without_children():
    search, _ = evolve(NSGA2(population=6), 60, lambda point: None if point["a"] == "2" else trade_off(point))
    assert len(search.members) == 6 and all(point["a"] != "2" for _, point in search.members)


def test_nsga2_goes_within_the_limits_first():
    def limited(point):
        return Outcome(trade_off(point).values, violation=max(0.0, int(point["c"]) - 0.5))

    search, _ = evolve(NSGA2(population=6), 36, limited)
    assert all(outcome.violation == 0 for outcome, _ in search.members)


DECISIONS = ArchitectureDecisions(NASBench201Space(ImageShape(3, 32, 10)))


@pytest.fixture(scope="module")
def truth():
    """Data set -> architectures' validation accuracy, and normalized test accuracy and multiply-adds."""
    path = Path(os.environ.get("DATA_ROOT", "-")) / "nasbench201" / "nb201.csv"
    if not path.is_file():
        pytest.skip("needs NAS-Bench-201's table: set DATA_ROOT")
    found = {}
    with path.open() as file:
        rows = list(csv.DictReader(file))
    for data in DATA:
        accuracy = [float(row[f"{data}_test_acc"]) for row in rows]
        cost = [float(row[f"mflops_{data}"]) for row in rows]
        least, width = min(cost), max(cost) - min(cost)
        normalized = [(a / max(accuracy), -(c - least) / width) for a, c in zip(accuracy, cost)]
        valid = [float(row[f"{data}_valid_acc"]) for row in rows]
        found[data] = {row["arch_str"]: (v, *n) for row, v, n in zip(rows, valid, normalized)}
    return found


@pytest.mark.parametrize(
    ("data", "count", "volume"), [("cifar10", 14, 0.9916), ("cifar100", 13, 0.9757), ("imagenet16", 13, 0.9583)]
)
def test_on_nasbench201_the_front_is_nearly_found_by_500_queries(truth, data, count, volume):
    table = truth[data]
    exact = [(test, cost) for _, test, cost in table.values()]
    front = front_of([Outcome(each) for each in exact])
    assert len(front) == count
    whole = hypervolume([exact[index] for index in front], (0.0, -1.0))
    assert round(whole, 4) == volume
    shares = []
    for seed in range(2):
        search, told = NSGA2(population=20).start(DECISIONS), []
        for query in range(500):
            point = search.ask(Random(f"{seed}:{query}"))
            told.append(table[str(DECISIONS.genotype(point))])
            valid, _, cost = told[-1]
            search.tell(point, Outcome((valid, cost)))
        chosen = front_of([Outcome((valid, cost)) for valid, _, cost in told])
        shares.append(hypervolume([told[index][1:] for index in chosen], (0.0, -1.0)) / whole)
    assert mean(shares) > 0.97, "of the Pareto set by validation accuracy, with its test accuracies"
