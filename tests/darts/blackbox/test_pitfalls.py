"""What public code gets wrong, strategy by strategy: each test is a mistake that was made somewhere."""

from collections import Counter
from random import Random

import pytest
import torch

from darts.blackbox.points import ArchitectureDecisions, mutate
from darts.blackbox.strategies import ENAS, STRATEGIES, Bananas, GeneticAlgorithm, LocalSearch
from darts.blackbox.strategies.enas import TrainedController
from darts.blackbox.strategies.strategy import key_of
from darts.blackbox.surrogates import ensemble, gaussian_process
from supernet.shapes import ImageShape
from supernet.spaces.nasbench101 import NASBench101Space
from supernet.spaces.nasbench201 import NASBench201Space
from tests import tiny
from tests.darts.blackbox.test_strategies import POINTS, SIZES, Small, difference, run, value_of


def test_a_mutation_by_nodes_is_not_uniform_over_edges():
    decisions = ArchitectureDecisions(NASBench201Space(ImageShape(3, 32, 10)))
    point = decisions.sample(Random(0))
    counts = {}
    for node_first in (False, True):
        children = [mutate(decisions, point, Random(seed), node_first) for seed in range(3000)]
        changes = [difference(point, child) for child in children]
        assert all(len(change) == 1 for change in changes), "no child is its parent"
        counts[node_first] = Counter(change[0] for change in changes)
    for row in range(6):
        into = {0: 1, 1: 2, 2: 2}.get(row, 3)
        assert counts[False][f"cell/{row}"] / 3000 == pytest.approx(1 / 6, abs=0.03)
        assert counts[True][f"cell/{row}"] / 3000 == pytest.approx(1 / 3 / into, abs=0.03)


def test_random_points_are_uniform_over_architectures():
    """With a choice inside one candidate of another, uniform decisions would draw the plain candidate half the time."""
    decisions = ArchitectureDecisions(tiny.ModuleSpace(tiny.Model()))
    counts = Counter(tuple(decisions.sample(Random(seed)).items()) for seed in range(1800))
    assert len(counts) == decisions.count() == 9 and all(abs(count - 200) < 60 for count in counts.values())
    table = ArchitectureDecisions(NASBench101Space(ImageShape(3, 32, 10)))
    for seed in range(20):
        point = table.sample(Random(seed))
        assert table.permits(point) and table.permits(mutate(table, point, Random(seed)))
        assert decisions.point(decisions.picks(decisions.sample(Random(seed)))) == decisions.sample(Random(seed))


def test_exhaustive_search_asks_for_every_point_once():
    asked = run(STRATEGIES["exhaustive"].start(Small()), 36)
    assert asked == POINTS or {key_of(point) for point in asked} == {key_of(point) for point in POINTS}


def test_truncation_takes_parents_of_the_best_alone():
    search = GeneticAlgorithm(population=10, selection="truncation", survivors=0.2, elite=0, mutation_rate=0).start(
        Small()
    )
    for number, point in enumerate(POINTS[:10]):
        search.tell(point, float(number))
    allowed = {name: {POINTS[8].get(name), POINTS[9].get(name)} for name in SIZES}
    for seed in range(30):
        child = search.ask(Random(seed))
        assert all(child[name] in allowed[name] for name in SIZES)


def test_a_climb_begins_at_the_best_of_its_starts():
    search = LocalSearch(first_improvement=True, starts=5).start(Small())
    asked = run(search, 5)
    assert search.centre == max(asked, key=value_of)
    assert len(difference(search.ask(Random(9)), search.centre)) == 1


def test_the_controller_ascends_the_mean_over_its_samples():
    options = ENAS(units=5, lr=0.1, decay=0.5, entropy=0.3, samples=3)
    search = options.start(Small())
    points = [search.ask(Random(seed)) for seed in range(3)]
    before = {name: weight.clone() for name, weight in search.state["weights"].items()}
    values, baseline, objective = (0.2, 0.9, 0.4), None, 0.0
    slow = ENAS(**vars(options)).start(Small())
    slow.state = {"seed": search.state["seed"], "weights": {n: w.clone().requires_grad_() for n, w in before.items()}}
    for point, value in zip(points, values):
        baseline = value if baseline is None else 0.5 * baseline + 0.5 * value
        likelihood, entropy = slow._likelihood(point)
        objective = objective + (value - baseline) * likelihood + 0.3 * entropy
    (-objective / 3).backward()
    for number, (point, value) in enumerate(zip(points, values)):
        assert number == 2 or all(torch.equal(search.state["weights"][n], w) for n, w in before.items())
        search.tell(point, value)
    for name, weight in slow.state["weights"].items():
        optimizer = torch.optim.Adam([weight], lr=0.1)
        if weight.grad is not None:
            optimizer.step()
        torch.testing.assert_close(search.state["weights"][name], weight.detach())


def test_the_bonus_on_the_entropy_goes_where_it_is_said():
    found = {}
    for bonus in ("loss", "reward"):
        search = ENAS(units=4, entropy=0.5, samples=1, bonus=bonus).start(Small())
        point = search.ask(Random(0))
        search.tell(point, 0.25)
        found[bonus] = search.state["baseline"]
    assert found["loss"] == 0.25 < found["reward"]


def test_the_controller_learns():
    search = ENAS(units=8, lr=0.05, decay=0.9, samples=4).start(Small())
    asked = run(search, 240)
    assert sum(map(value_of, asked[-40:])) > 1.25 * sum(map(value_of, asked[:40]))


def test_a_trained_controller_is_drawn_from_without_learning():
    trained = ENAS(units=4).start(Small())
    run(trained, 5)
    frozen = TrainedController(trained.options, trained.state)
    before = {name: weight.clone() for name, weight in trained.state["weights"].items()}
    asked = run(frozen.start(Small()), 12)
    assert len({key_of(point) for point in asked}) > 8 and asked == run(frozen.start(Small()), 12)
    assert all(torch.equal(before[name], weight) for name, weight in trained.state["weights"].items())


@pytest.mark.parametrize("surrogate", ["ensemble", "gaussian_process"])
def test_bananas_takes_batches_of_unseen_mutations_of_the_best(surrogate):
    search = Bananas(first=6, batch=3, parents=1, candidates=12, surrogate=surrogate, steps=20, units=8).start(Small())
    asked = run(search, 6)
    best = max(asked, key=value_of)
    chosen = [search.ask(Random(f"0:{number}")) for number in range(6, 9)]
    assert not search.waiting and len({key_of(point) for point in [*asked, *chosen]}) == 9
    assert all(len(difference(best, point)) == 1 for point in chosen)


def test_bananas_encoding_and_candidates_are_separate():
    for encoding in ("path", "one_hot", "both"):
        for propose in ("mutation", "random"):
            search = Bananas(first=4, batch=4, encoding=encoding, propose=propose, steps=2, units=4).start(Small())
            assert len({key_of(point) for point in run(search, 12)}) == 12


def test_the_path_encoding_identifies_isomorphic_cells():
    """Adjacency does not: the two intermediate nodes of these cells have changed places."""
    decisions = ArchitectureDecisions(NASBench201Space(ImageShape(3, 32, 10)))
    cells = [
        ("skip_connect", "nor_conv_1x1", "none", "none", "nor_conv_3x3", "avg_pool_3x3"),
        ("nor_conv_1x1", "skip_connect", "none", "none", "avg_pool_3x3", "nor_conv_3x3"),
    ]
    points = [{f"cell/{row}": op for row, op in enumerate(ops)} for ops in cells]
    assert decisions.encoding(points[0], 84) == decisions.encoding(points[1], 84)
    assert decisions.encoding(points[0], None) != decisions.encoding(points[1], None)
    assert len(decisions.encoding(points[0], 40)) == 40, "truncated"
    modules = ArchitectureDecisions(tiny.ModuleSpace(tiny.Model()))
    point = modules.sample(Random(0))
    assert modules.encoding(point, 2) == modules.encoding(point, None), "one-hot where there are no cells"


def test_surrogates_rank_what_they_have_seen():
    known = torch.tensor([[float(a), float(b), float(c)] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    values = known @ torch.tensor([4.0, 2.0, 1.0]) - 1000 * (known.sum(1) == 0)
    for mean, deviation in (
        ensemble(known, values, known, (3, 16), 200, 0.02, torch.Generator().manual_seed(0)),
        gaussian_process(known, values, known),
    ):
        assert mean.argsort().tolist() == values.argsort().tolist() and (deviation >= 0).all()
    _, near = gaussian_process(known[:3], values[:3], known[:1])
    _, far = gaussian_process(known[:3], values[:3], 9 * known[7:])
    assert near < far
