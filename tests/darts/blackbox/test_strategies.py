"""Each strategy by its definition, on a small space with a decision that does not always take part."""

import itertools
from collections import Counter
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from darts.blackbox.points import Decision, Decisions, complete, mutate, neighbours
from darts.blackbox.strategies import STRATEGIES, GeneticAlgorithm, LocalSearch, RegularizedEvolution, Reinforce
from darts.blackbox.strategies.genetic import CROSSOVERS

SIZES = {"a": 3, "b": 2, "c": 4}
seeds = st.integers(0, 10**6)


class Small(Decisions):
    """``a``, ``b`` and ``c`` are always decided, ``inner`` only where ``b`` is 1: 36 points."""

    def following(self, made):
        names = [*SIZES, *(["inner"] if made.get("b") == "1" else [])]
        return next((Decision(n, tuple(map(str, range(SIZES.get(n, 2))))) for n in names if n not in made), None)

    def count(self):
        return 36

    def encoding(self, point, paths):
        return [float(point.get(n) == str(k)) for n in (*SIZES, "inner") for k in range(SIZES.get(n, 2))]


POINTS = [
    dict(zip((*SIZES, "inner"), map(str, values)))
    for b in (0, 1)
    for values in itertools.product(range(3), (b,), range(4), *([range(2)] * b))
]


def value_of(point):
    return sum((k + 1) * int(value) for k, value in enumerate(point.values())) / 20


def run(search, count, value=value_of, seed=0):
    """The points that a search asks for."""
    asked = []
    for number in range(count):
        point = search.ask(Random(f"{seed}:{number}"))
        asked.append(point)
        search.tell(point, value(point))
    return asked


def test_all_points_are_made():
    rng = Random(0)
    found = {tuple(complete(Small(), {}, rng).items()) for _ in range(2000)}
    assert found == {tuple(point.items()) for point in POINTS} and len(POINTS) == 36


def difference(first, second):
    """The decisions that both have with other values."""
    return [name for name in first if name in second and first[name] != second[name]]


@given(st.sampled_from(POINTS), seeds)
def test_a_mutation_changes_one_decision(point, seed):
    child = mutate(Small(), point, Random(seed))
    assert child in POINTS and len(difference(point, child)) == 1


def test_mutations_are_uniform_over_decisions():
    counts = Counter(difference(POINTS[0], mutate(Small(), POINTS[0], Random(seed)))[0] for seed in range(3000))
    assert set(counts) == set(SIZES) and max(counts.values()) - min(counts.values()) < 200


@given(st.sampled_from(POINTS), seeds)
def test_neighbours_are_all_points_one_change_away(point, seed):
    found = list(neighbours(Small(), point, Random(seed)))
    assert all(each in POINTS and len(difference(point, each)) == 1 for each in found)
    wanted = sum(SIZES.get(name, 2) - 1 for name in point)
    assert len(found) == len({tuple(each.items()) for each in found}) == wanted


@given(st.sampled_from(POINTS), st.sampled_from(POINTS), st.sampled_from(list(CROSSOVERS)), seeds)
def test_a_child_has_its_parents_decisions(first, second, how, seed):
    rng = Random(seed)
    child = complete(Small(), CROSSOVERS[how](first, second, rng), rng)
    for name, value in child.items():
        assert value in [parent[name] for parent in (first, second) if name in parent]


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_is_restored_by_the_same_sequence(name):
    assert run(STRATEGIES[name].start(Small()), 60) == run(STRATEGIES[name].start(Small()), 60)
    other = run(STRATEGIES[name].start(Small()), 60, seed=1)
    assert STRATEGIES[name].enumerates or run(STRATEGIES[name].start(Small()), 60) != other


@pytest.mark.parametrize("name", STRATEGIES)
def test_failed_evaluations_do_not_stop_a_strategy(name):
    search = STRATEGIES[name].start(Small())
    assert len(run(search, 50, lambda point: None if point["a"] == "0" else value_of(point))) == 50


def test_random_search_repeats_nothing_until_all_is_evaluated():
    asked = run(STRATEGIES["random"].start(Small()), 36)
    assert len({tuple(point.items()) for point in asked}) == 36


def test_the_oldest_dies_however_good_it_is():
    search = RegularizedEvolution(population=5, sample=2).start(Small())
    run(search, 5, lambda point: 1.0)
    best = search.members[0]
    assert len(search.members) == 5
    run(search, 1, lambda point: 0.0, seed=1)
    assert best not in search.members and len(search.members) == 5


def test_a_failed_evaluation_kills_no_member():
    search = RegularizedEvolution(population=5, sample=2).start(Small())
    run(search, 5)
    before = list(search.members)
    run(search, 3, lambda point: None)
    assert list(search.members) == before


def test_the_best_of_the_sample_is_mutated():
    search = RegularizedEvolution(population=4, sample=64).start(Small())
    for number, point in enumerate(POINTS[:4]):
        search.tell(point, float(number))
    for seed in range(20):
        assert len(difference(search.ask(Random(seed)), POINTS[3])) == 1


def test_generations_keep_the_elite_and_take_in_all_children():
    search = GeneticAlgorithm(population=6, elite=2).start(Small())
    run(search, 6)
    assert len(search.members) == 6 and not search.children
    elite = sorted(search.members, key=lambda member: -member[0])[:2]
    children = run(search, 4, seed=1)
    assert [point for _, point in search.members] == [*(point for _, point in elite), *children]


def test_without_mutation_children_are_mixtures_alone():
    search = GeneticAlgorithm(population=4, mutation_rate=0.0, elite=0).start(Small())
    run(search, 4)
    values = {name: {point[name] for _, point in search.members if name in point} for name in SIZES}
    for seed in range(30):
        child = search.ask(Random(seed))
        assert all(child[name] in values[name] for name in SIZES)


@pytest.mark.parametrize("first_improvement", [False, True])
def test_local_search_climbs_and_starts_anew(first_improvement):
    search = LocalSearch(first_improvement).start(Small())
    asked = run(search, 36)
    assert len({tuple(point.items()) for point in asked}) == 36, "nothing is asked twice before all is known"
    assert max(map(value_of, asked[:20])) == max(map(value_of, POINTS))


def test_steepest_ascent_goes_to_the_best_neighbour():
    search = LocalSearch().start(Small())
    start = search.ask(Random("0:0"))
    search.tell(start, value_of(start))
    around = []
    for number in range(len(list(neighbours(Small(), start, Random(0))))):
        around.append(search.ask(Random(f"0:{number + 1}")))
        assert len(difference(start, around[-1])) == 1
        search.tell(around[-1], value_of(around[-1]))
    assert search.centre == start
    search.ask(Random(9))
    assert value_of(search.centre) == max(map(value_of, [start, *around]))


def test_reinforce_is_a_policy_gradient_by_adam():
    search = Reinforce(lr=0.1, decay=0.9).start(Small())
    logits = {name: torch.zeros(size, dtype=torch.float64, requires_grad=True) for name, size in SIZES.items()}
    optimizer = torch.optim.Adam(logits.values(), lr=0.1)
    baseline = 0.0
    for step, value in enumerate((0.5, 0.7, 0.2, 0.9), 1):
        point = {"a": str(step % 3), "b": "0", "c": str(step % 4)}
        search.tell(point, value)
        baseline = 0.9 * baseline + 0.1 * 100 * value
        advantage = 100 * value - baseline / (1 - 0.9**step)
        optimizer.zero_grad()
        chances = [logits[name].log_softmax(0)[int(chosen)] for name, chosen in point.items()]
        (-advantage * torch.stack(chances).sum()).backward()
        optimizer.step()
    for name, logit in logits.items():
        torch.testing.assert_close(
            torch.tensor(search.logits[name], dtype=torch.float64), logit.detach(), atol=1e-6, rtol=0
        )


def test_reinforce_finds_the_best_value():
    search = Reinforce(lr=0.3).start(Small())
    asked = run(search, 300)
    assert sum(map(value_of, asked[-50:])) / 50 > 0.95 * max(map(value_of, POINTS))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (dict(population=0), "population is 0; it must be 1 or more"),
        (dict(sample=0), "sample is 0; it must be 1 or more"),
    ],
)
def test_options_are_checked(options, reason):
    with pytest.raises(ValueError, match=reason):
        RegularizedEvolution(**options)
    with pytest.raises(ValueError, match="elite is 4; it must be less than the population, 4"):
        GeneticAlgorithm(population=4, elite=4)
