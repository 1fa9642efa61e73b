"""Descents of logits through a Gaussian process: exact expectations, and what is found."""

import itertools
import math
from random import Random

import pytest
import torch

from darts.blackbox.pareto.fronts import Outcome, dominates, hypervolume
from darts.blackbox.points import Decision, Decisions, every
from darts.blackbox.strategies import SurrogateDescent
from darts.blackbox.strategies.strategy import MAX_DRAWS
from darts.blackbox.surrogates import GatedProcess, gaussian_process, normal_scores
from tests.darts.blackbox.test_pareto import evolve, trade_off
from tests.darts.blackbox.test_strategies import POINTS, Small

WIDTHS = (3, 2, 4)
"""Values of the decisions of a made-up space."""


def drawn(count, seed=0):
    """Some points of the space as places ``(n, d)``, and values of them ``(n,)``."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.stack([torch.randint(width, (count,), generator=generator) for width in WIDTHS], 1)
    return places, torch.randn(count, generator=generator, dtype=torch.float64)


def gates_of(places):
    """One-hot gates of points, ``(n, d, o)``."""
    return torch.nn.functional.one_hot(places, max(WIDTHS)).double()


def random_gates(count, seed=1):
    """Gates without a share for the values that a decision lacks, ``(b, d, o)``."""
    logits = torch.randn(count, len(WIDTHS), max(WIDTHS), generator=torch.Generator().manual_seed(seed)).double()
    for row, width in enumerate(WIDTHS):
        logits[:, row, width:] = -math.inf
    return logits.softmax(-1)


def test_at_a_point_the_mean_is_the_gaussian_process_of_one_hot_encodings():
    places, values = drawn(12)
    process = GatedProcess.fit(places, normal_scores(values))
    every = torch.tensor(list(itertools.product(*map(range, WIDTHS))))
    expected, _ = gaussian_process(gates_of(places).flatten(1), values, gates_of(every).flatten(1))
    assert process.expectation(gates_of(every)) == pytest.approx(expected, abs=1e-12)


def test_the_expectation_is_the_mean_over_all_architectures_weighted_by_the_gates():
    process, gates = GatedProcess.fit(*drawn(12)), random_gates(5)
    every = torch.tensor(list(itertools.product(*map(range, WIDTHS))))
    chances = gates[:, torch.arange(len(WIDTHS)), every].prod(-1)  # (b, architectures)
    assert chances.sum(1) == pytest.approx(torch.ones(5))
    assert process.expectation(gates) == pytest.approx(chances @ process.expectation(gates_of(every)), abs=1e-12)


def test_its_gradient_is_that_of_finite_differences():
    process, gates = GatedProcess.fit(*drawn(9)), random_gates(2).requires_grad_()
    assert torch.autograd.gradcheck(process.expectation, (gates,))


def test_a_decision_that_was_not_asked_is_left_out():
    places, values = drawn(6)
    places[:, 1] = -1
    gates = random_gates(1)
    other = gates.clone()
    other[0, 1] = torch.tensor([0.0, 1.0, 0.0, 0.0])
    process = GatedProcess.fit(places, values)
    assert process.expectation(gates) == process.expectation(other)


def test_it_finds_the_best_in_fewer_evaluations_than_random_search():
    found = []
    for seed in range(8):
        _, asked = evolve(SurrogateDescent(first=4, batch=2), 12, lambda point: trade_off(point).values[0], seed)
        found.append(max(trade_off(point).values[0] for point in asked))
    best = max(trade_off(point).values[0] for point in POINTS)
    assert found.count(best) >= 7, "12 of 36 points; random ones hold one of the best two in five of nine searches"


@pytest.mark.parametrize("first", [2, 7])
def test_it_finds_the_whole_front_and_asks_nothing_twice(first):
    search, asked = evolve(SurrogateDescent(first=first, batch=3), len(POINTS), trade_off)
    assert len({tuple(point.items()) for point in asked}) == len(POINTS)
    best = {trade_off(point).values for point in POINTS}
    best = {each for each in best if not any(dominates(Outcome(other), Outcome(each)) for other in best)}
    assert best <= {outcome.values for outcome, _ in search.evaluated[:24]}, "two thirds of the points are enough"


def test_failed_points_teach_nothing_and_limits_are_kept():
    def limited(point):
        excess = max(0.0, int(point["c"]) - 0.5)
        return None if point["a"] == "2" else Outcome(trade_off(point).values, violation=excess)

    search, asked = evolve(SurrogateDescent(first=6, batch=3), 18, limited)
    assert all(point["a"] != "2" for _, point in search.evaluated)
    within = [int(point["c"]) == 0 for point in asked]
    assert sum(within[9:]) > sum(within[:9]), "more of the later points are within the limit"


def test_accuracies_that_are_not_known_do_not_count():
    """An architecture over a limit is not trained: the worst stands in place of its accuracy."""

    def untrained(point):
        return Outcome((-math.inf, float(point["c"])), violation=1.0 + int(point["c"]))

    _, asked = evolve(SurrogateDescent(first=3, batch=2), 12, untrained)
    assert len({tuple(point.items()) for point in asked}) == 12
    _, asked = evolve(SurrogateDescent(first=3, batch=2), 9, lambda point: -math.inf)
    assert len({tuple(point.items()) for point in asked}) == 9


def test_what_the_processes_learn_from_is_bounded(monkeypatch):
    sizes = []
    fit = GatedProcess.fit
    monkeypatch.setattr(GatedProcess, "fit", lambda known, wanted: sizes.append(len(known)) or fit(known, wanted))
    search, _ = evolve(SurrogateDescent(first=4, batch=4, known=6, steps=2), 30, trade_off)
    best = sum(1 for outcome, _ in search.evaluated if not any(dominates(o, outcome) for o, _ in search.evaluated))
    assert max(sizes) <= 6 + best


def test_the_same_sequence_restores_a_search():
    options = SurrogateDescent(first=3, batch=2, steps=10)
    search, asked = evolve(options, 11, trade_off)
    again = options.start(Small())
    for number, point in enumerate(asked):
        assert again.ask(Random(f"0:{number}")) == point
        again.tell(point, trade_off(point))
    assert again.ask(Random("0:11")) == search.ask(Random("0:11"))


class Known(Small):
    """How far ``a`` is over a limit is known before an evaluation, and the second objective of ``trade_off``."""

    def __init__(self, limit):
        self.limit = limit

    def untrained(self, point):
        return Outcome((-math.inf, float(point["c"])), violation=float(max(0, int(point["a"]) - self.limit)))


class Noisy(Decisions):
    """1,024 points whose costs no model can predict."""

    def following(self, made):
        return next((Decision(n, tuple("0123")) for n in "abcde" if n not in made), None)

    def encoding(self, point, paths):
        return [float(point[name] == value) for name in "abcde" for value in "0123"]

    def outcome(self, point):
        """Twice each value over the number of its place, and a cost drawn for the point alone."""
        good = sum(2 * int(value) / (place + 1) for place, value in enumerate(point.values()))
        return Outcome((good, -Random("".join(point.values())).random()))


class NoisyAndKnown(Noisy):
    """The same points, with costs that are known before an evaluation."""

    def untrained(self, point):
        return Outcome((-math.inf, self.outcome(point).values[1]))


def search_with(decisions, options, count, outcome_of, seed=0):
    """The points that a search asks for."""
    search, asked = options.start(decisions), []
    for number in range(count):
        asked.append(search.ask(Random(f"{seed}:{number}")))
        search.tell(asked[-1], outcome_of(asked[-1]))
    return asked


def test_known_costs_find_more_of_the_front_than_costs_that_are_learned():
    made = Noisy()
    whole = hypervolume([made.outcome(point).values for point in every(made)], (0.0, -1.0))

    def missing(decisions):
        for seed in range(3):
            asked = search_with(decisions, SurrogateDescent(20, 10, steps=40), 80, made.outcome, seed)
            yield 1 - hypervolume([made.outcome(point).values for point in asked], (0.0, -1.0)) / whole

    known, learned = list(missing(NoisyAndKnown())), list(missing(made))
    assert max(known) < 0.025 and sum(known) < 0.6 * sum(learned), (known, learned)


def test_what_is_known_to_be_over_a_limit_is_not_asked_while_anything_else_is_new():
    def outcome_of(point):
        return Outcome(trade_off(point).values, violation=float(max(0, int(point["a"]) - 1)))

    for seed in range(4):
        asked = search_with(Known(limit=1), SurrogateDescent(first=4, batch=3), len(POINTS), outcome_of, seed)
        within = [int(point["a"]) <= 1 for point in asked]
        assert within == sorted(within, reverse=True) and sum(within) == 24, "24 of 36 points are within the limit"
        assert len({tuple(point.items()) for point in asked}) == len(POINTS)


def test_limits_that_nothing_meets_cost_one_round_of_draws(monkeypatch):
    class Over(Noisy):
        def untrained(self, point):
            return Outcome((-math.inf, 0.0), violation=1.0)

    drawn = []
    sample = Over.sample
    monkeypatch.setattr(Over, "sample", lambda self, rng: drawn.append(0) or sample(self, rng))
    asked = search_with(Over(), SurrogateDescent(first=4), 60, lambda point: Outcome((-math.inf, 0.0), violation=1.0))
    assert len({tuple(point.items()) for point in asked}) == 60 and len(drawn) < MAX_DRAWS + 80


def test_nothing_is_priced_where_nothing_is_known():
    """Without known costs a search is what it was: the same points, whatever the number of climbs."""
    for options in (SurrogateDescent(3, 2, climbs=1), SurrogateDescent(3, 2, climbs=9)):
        _, asked = evolve(options, 12, trade_off)
        assert asked == evolve(SurrogateDescent(3, 2), 12, trade_off)[1]
