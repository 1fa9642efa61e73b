"""The gradients of the logits that methods take, and what they add to the loss, against numbers and limits."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from darts.bilevel.hypergradients import Unrolled, UnrolledExact, first_order
from darts.bilevel.penalties import Resource
from darts.bilevel.radius import AGREES, choose_radius
from darts.bilevel.relaxations import concentration
from darts.methods.beta_darts import BetaDecay
from darts.methods.drnas import TowardsUniform
from darts.methods.fair_darts import Sigmoid, ZeroOne
from darts.methods.gaea import Entropic, ExponentiatedGradient, Simplex, uniform
from darts.methods.idarts import Neumann
from darts.methods.milenas import MixedLevel
from darts.methods.sdarts import Adversarial, RandomSmoothing, added
from darts.methods.snas import Concrete, SingleLevel
from darts.methods.zarts import MonteCarlo
from supernet.choice import ChoiceTable, edges_of
from supernet.cost.space_costs import SpaceCosts
from supernet.spaces.darts import DARTS_PRIMITIVES
from supernet.spaces.darts.space import DARTSSpace
from tests import tiny
from tests.tiny import SPACE, TABLE, Smooth, numeric


def flat(grads):
    return torch.cat([g.flatten() for g in grads.values()])


def test_milenas_is_the_sum_of_both_gradients():
    problem = Smooth()
    lower = numeric(lambda t: problem.lower(problem.weights, {"t": t}, 1.3), problem.logits["t"])
    upper = numeric(lambda t: problem.upper(problem.weights, {"t": t}, 0.7), problem.logits["t"])
    for weight in (0.0, 1.0, 3.0):
        torch.testing.assert_close(MixedLevel(weight)(problem, 1.3, 0.7)["t"], lower + weight * upper)
        torch.testing.assert_close(MixedLevel(1.0, training=weight)(problem, 1.3, 0.7)["t"], weight * lower + upper)
    assert torch.cosine_similarity(MixedLevel(1e9)(problem, 1.3, 0.7)["t"], upper, 0) == pytest.approx(1)


def test_a_single_level_is_first_order_on_the_training_batch():
    problem, train, valid = tiny.problem()
    assert torch.equal(flat(SingleLevel()(problem, train, valid)), flat(first_order(problem, None, train)))


def series(problem, train, valid, terms, diagonal=False):
    """The truncated series by automatic differentiation, with the whole Hessian or what stands in for it."""
    w, a, eta = problem.weights["w"], problem.logits["t"], problem.learning_rate

    def slope(w, a):
        return torch.autograd.grad(problem.lower({"w": w}, {"t": a}, train), w, create_graph=True)[0]

    hessian = torch.autograd.functional.jacobian(lambda w: slope(w, a), w)
    if diagonal:
        hessian = torch.diag(torch.autograd.grad(slope(w, a).norm(), w)[0])
    mixed = torch.autograd.functional.jacobian(lambda a: slope(w, a), a)
    direct, v = torch.autograd.grad(problem.upper({"w": w}, {"t": a}, valid), (a, w))
    powers = [torch.linalg.matrix_power(torch.eye(3).double() - eta * hessian, k) for k in range(terms)]
    return direct - eta * mixed.T @ sum((power @ v for power in powers), torch.zeros(3).double())


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("terms", [0, 1, 2, 5])
def test_idarts_is_the_truncated_neumann_series(terms, diagonal, exact):
    problem = Smooth()
    grad = Neumann(terms, radius=1e-4, diagonal=diagonal, exact=exact)(problem, 1.3, 0.7)["t"]
    tolerance = dict(rtol=1e-10, atol=1e-12) if exact else dict(rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(grad, series(problem, 1.3, 0.7, terms, diagonal), **tolerance)


def test_exact_products_are_the_limit_of_the_differences_in_a_network():
    problem, train, valid = tiny.problem()
    exact = flat(Neumann(3, exact=True)(problem, train, valid))
    far, near = (flat(Neumann(3, radius=radius)(problem, train, valid)) for radius in (0.3, 1e-6))
    added = (exact - flat(first_order(problem, train, valid))).norm()
    assert (near - exact).norm() < 1e-4 * added < 0.01 * (far - exact).norm()


@pytest.mark.parametrize("exact", [None, UnrolledExact()])
def test_the_error_of_differences_is_measured_and_nothing_is_drawn(exact):
    problem, train, valid = tiny.problem(relax=Concrete())
    state = problem.generator.get_state()
    far, near = (choose_radius(Unrolled(r, choose=False), problem, train, valid, exact) for r in (10.0, 1e-5))
    assert near.error < 1e-2 < far.error and (far.radius, near.radius) == (10.0, 1e-5)
    assert torch.equal(state, problem.generator.get_state())


@pytest.mark.parametrize("step", [Unrolled(1.0), Neumann(3, radius=1.0)])
def test_a_radius_that_agrees_with_the_exact_product_is_chosen(step):
    problem, train, valid = tiny.problem()
    exact, found = step.without_differences(), {}
    chosen = choose_radius(step, problem, train, valid, exact)
    right = flat(exact(problem, train, valid))
    added = (right - flat(first_order(problem, train, valid))).norm()
    for radius in (1.0, chosen.radius):
        found[radius] = ((flat(step.at(radius)(problem, train, valid)) - right).norm() / added).item()
    assert found[1.0] > AGREES >= found[chosen.radius] == pytest.approx(chosen.error)
    agreed = choose_radius(step.at(chosen.radius), problem, train, valid, exact)
    assert agreed == chosen


def test_where_no_radius_agrees_the_best_is_taken():
    """In float32 on a difference so short that it is rounding, no shorter one is better."""
    problem = Smooth()
    wrong = first_order
    chosen = choose_radius(Unrolled(0.1), problem, 1.3, 0.7, lambda p, t, v: {"t": 3 * wrong(p, t, v)["t"]})
    assert chosen.error > AGREES


def test_idarts_without_terms_is_first_order():
    problem, train, valid = tiny.problem()
    assert torch.equal(flat(Neumann(0)(problem, train, valid)), flat(first_order(problem, train, valid)))
    assert (flat(Neumann(3)(problem, train, valid)) - flat(first_order(problem, train, valid))).norm() > 0


@pytest.fixture(scope="module")
def problem():
    return tiny.problem()[0]


def penalized(problem, penalty, logits, progress=0.5, relax=None, table=TABLE):
    """A penalty as a function of the logits of one table."""
    problem = replace(problem, tables=(table,), progress=progress, relax=relax or tiny.Softmax())
    return penalty(problem, {"t": logits}, {"t": problem.relax.expected_gates(logits, table)})


PENALTIES = [BetaDecay(7.0), TowardsUniform(0.3), Entropic(0.3), ZeroOne(5.0), ZeroOne(5.0, absolute=True)]


@pytest.mark.parametrize("penalty", PENALTIES)
def test_penalties_have_the_numeric_gradient(penalty, problem):
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).double()
    x = (x.softmax(1) if isinstance(penalty, Entropic) else x).requires_grad_()
    relax = Sigmoid() if isinstance(penalty, ZeroOne) else tiny.Softmax()
    (grad,) = torch.autograd.grad(penalized(problem, penalty, x, relax=relax), x)
    by_numbers = numeric(lambda y: penalized(problem, penalty, y, relax=relax), x)
    torch.testing.assert_close(grad, by_numbers, rtol=1e-6, atol=1e-7)


def test_the_entropic_penalty_is_the_divergence_from_uniform_gates(problem):
    allowed = replace(TABLE, allowed=(("a", "b"), *[TABLE.candidates] * 4))
    p = uniform(allowed, torch.zeros(5, 4)).double()
    assert penalized(problem, Entropic(), p, relax=Simplex(), table=allowed).item() == pytest.approx(0, abs=1e-12)
    p[1] = torch.tensor([0.7, 0.1, 0.1, 0.1])
    p.requires_grad_()
    value = penalized(problem, Entropic(2.0), p, relax=Simplex(), table=allowed)
    divergence = (p[1] * (4 * p[1]).log()).sum()
    assert value.item() == pytest.approx(2 * divergence.item())
    (grad,) = torch.autograd.grad(value, p)
    assert torch.isfinite(grad).all() and not grad[0, [0, 3]].any()


def test_beta_decay_pulls_by_the_gates_and_grows_from_0(problem):
    x = torch.randn(5, 4).double().requires_grad_()
    (grad,) = torch.autograd.grad(penalized(problem, BetaDecay(50.0), x, progress=0.2), x)
    torch.testing.assert_close(grad, 50 * 0.2 * x.softmax(1) / 5)
    assert penalized(problem, BetaDecay(), x, progress=0.0) == 0


def test_zero_one_is_least_at_undecided_gates(problem):
    value = penalized(problem, ZeroOne(10.0), torch.zeros(5, 4).double(), relax=Sigmoid())
    assert value == 0 > penalized(problem, ZeroOne(10.0), torch.full((5, 4), 3.0).double(), relax=Sigmoid())


def test_the_uniform_distribution_is_its_own_anchor(problem):
    x = torch.zeros(5, 4).double()
    assert torch.equal(concentration(x), torch.ones_like(x)) and penalized(problem, TowardsUniform(), x) == 0


def priced(space, **options):
    problem, *_ = tiny.problem(space, **options)
    problem.costs = SpaceCosts(space, space.shape)
    return problem


def test_resources_are_those_of_the_derived_candidates():
    problem = priced(replace(SPACE, candidates=DARTS_PRIMITIVES, channels=4))
    parameters, operations, accesses = (
        problem.costs.cost(name).total.of_candidates(problem.tables)
        for name in ("parameters", "multiply_adds", "memory_accesses")
    )
    column = DARTS_PRIMITIVES.index("dil_conv_3x3")
    assert parameters["normal"][0, column] == 4 * 9 + 4 * 4 + 2 * 4
    assert operations["normal"][0, column] == (4 * 9 + 4 * 4) * 8 * 8
    assert operations["reduce"][0, column] == (8 * 9 + 8 * 8) * 4 * 4 + (16 * 9 + 16 * 16) * 2 * 2
    assert accesses["normal"][0, column] == 8 * (4 * 8 * 8) + 4 * 9 + 4 * 4 + 2 * 4
    assert accesses["normal"][0, DARTS_PRIMITIVES.index("skip_connect")] == 2 * 4 * 8 * 8
    assert accesses["normal"][0, DARTS_PRIMITIVES.index("none")] == 0
    pool = DARTS_PRIMITIVES.index("max_pool_3x3")
    assert accesses["reduce"][0, pool] == 8 * (8 * 8 + 4 * 4) + 16 * (4 * 4 + 2 * 2)
    gates = problem.gates(problem.logits)
    grads = torch.autograd.grad(Resource(2.0)(problem, problem.logits, gates), list(gates.values()))
    total = sum(cost.sum() for cost in parameters.values())
    for grad, cost in zip(grads, parameters.values()):
        torch.testing.assert_close(grad, 2.0 * (cost / total).double())
    penalty, logarithm = (Resource(2.0, log=log)(problem, problem.logits, gates) for log in (False, True))
    torch.testing.assert_close(logarithm, 2.0 * (penalty / 2.0).log())


def test_the_expected_cost_is_that_of_the_expected_gates():
    problem = priced(SPACE, relax=Concrete())
    expected = Resource(2.0, estimate="expectation")(problem, problem.logits, problem.gates(problem.logits))
    assert expected == Resource(2.0)(problem, problem.logits, problem.expected_gates())
    assert all(grad.any() for grad in torch.autograd.grad(expected, list(problem.logits.values())))


class Priced(Resource):
    """The penalty on three candidates of known costs."""

    def shares_of(self, problem):
        cost = torch.tensor([1.0, 5.0, 2.0]).expand(problem.tables[0].rows, 3)
        return {"t": (cost / cost.sum()).double()}


def sampled(rows, logits=(0.4, -0.3, 0.1), temperature=0.5):
    """Samples of one row's gates, each a row of its own, and what they cost."""
    table = ChoiceTable("t", ("a", "b", "c"), (rows,))
    relax = Concrete(temperature, temperature)
    each = torch.tensor(logits).double().expand(rows, 3).clone().requires_grad_()
    progress = torch.tensor(0.5)
    problem = SimpleNamespace(tables=(table,), relax=relax, progress=progress, logits={"t": each})
    return problem, {"t": each}, {"t": relax.gates(each, table, progress, torch.Generator().manual_seed(0))}


def test_both_samples_of_the_costs_gradient_have_the_same_mean():
    rows = 200_000
    problem, logits, gates = sampled(rows)
    found = {}
    for estimate in ("reparametrization", "policy_gradient"):
        penalty = Priced(8.0 * rows, estimate=estimate)(problem, logits, gates)
        (grad,) = torch.autograd.grad(penalty, logits["t"], retain_graph=True)
        found[estimate] = penalty.item(), grad.mean(0), grad.std(0) / rows**0.5
    assert len({value for value, *_ in found.values()}) == 1
    (_, path, path_error), (_, score, score_error) = found.values()
    assert (path.abs() > 10 * path_error).all() and (score.abs() > 10 * score_error).all()
    assert ((path - score).abs() < 5 * (path_error + score_error)).all()


def test_the_logarithm_of_the_cost_is_scored_as_a_whole():
    problem, logits, gates = sampled(4)
    penalty = Priced(2.0, estimate="policy_gradient", log=True)(problem, logits, gates)
    assert penalty == Priced(2.0, log=True)(problem, logits, gates)
    density = problem.relax.log_density(gates["t"], logits["t"], problem.tables[0], problem.progress).sum()
    grads = [torch.autograd.grad(x, logits["t"])[0] for x in (penalty, density)]
    torch.testing.assert_close(grads[0], penalty.detach() * grads[1])


def test_the_penalty_is_part_of_the_upper_loss_alone():
    problem, train, valid = tiny.problem()
    plain = problem.upper(problem.weights, problem.logits, valid), problem.lower(problem.weights, problem.logits, train)
    problem.penalties, problem.progress = (BetaDecay(10.0),), 1.0
    with_it = (
        problem.upper(problem.weights, problem.logits, valid),
        problem.lower(problem.weights, problem.logits, train),
    )
    rows = torch.cat([logits.logsumexp(1) for logits in problem.logits.values()])
    torch.testing.assert_close(with_it[0] - plain[0], 10 * rows.mean())
    assert torch.equal(with_it[1], plain[1])


def states(**options):
    task = tiny.run(tiny.search(tiny.config(epochs=2, **options)))
    return {**task.problem.supernet.state_dict(), **task.problem.logits}


@pytest.fixture(scope="module")
def darts():
    return states()


@pytest.mark.parametrize(
    "neutral",
    [
        dict(penalties=("beta_decay:last=0",)),
        dict(perturb="random:first=0,last=0"),
        dict(perturb="adversarial:first=0,last=0"),
        dict(skip="falling:first=0"),
        dict(step="neumann:terms=0"),
    ],
    ids=lambda components: next(iter(components)),
)
def test_neutral_settings_are_darts_bit_for_bit(neutral, darts):
    neutral = states(**neutral)
    assert all(torch.equal(tensor, neutral[name]) for name, tensor in darts.items())
    assert all(".skips." in name for name in neutral.keys() - darts.keys())


def test_partial_channels_of_one_part_and_equal_weights_of_edges_are_darts():
    space = DARTSSpace(SPACE.shape, 4, 3, nodes=2)
    problem, *_ = tiny.problem(space)
    graph = problem.supernet.cells[0].inside.graph
    inputs = [torch.randn(2, 4, 8, 8).double() for _ in range(2)]
    gates = problem.logits["normal"].softmax(1)
    plain, ones = graph(inputs, gates), graph(inputs, gates, torch.ones(5).double())
    assert all(torch.equal(a, b) for a, b in zip(plain, ones))
    halves = graph(inputs, gates, torch.full((5,), 0.5).double())
    torch.testing.assert_close(halves[2], plain[2] / 2)


def test_random_smoothing_stays_near_and_on_the_simplex():
    problem, train, _ = tiny.problem(progress=0.5)
    gates = problem.expected_gates()
    smoothed = RandomSmoothing(0.0, 0.2)(problem, gates, train)
    for label, gate in gates.items():
        torch.testing.assert_close(smoothed[label].sum(1), torch.ones(len(gate)).double())
        assert (smoothed[label] >= 0).all() and not torch.equal(smoothed[label], gate)
    draw = RandomSmoothing(0.0, 0.2)
    seen = torch.cat([(draw(problem, gates, train)["normal"] - gates["normal"]).flatten() for _ in range(50)])
    assert 0.1 < seen.abs().max() < 0.3


def test_the_adversary_raises_the_loss_more_than_chance():
    problem, train, _ = tiny.problem(progress=1.0)
    gates = problem.expected_gates()
    plain = problem.loss_in_evaluation(gates, train).item()
    chance = [problem.loss_in_evaluation(RandomSmoothing()(problem, gates, train), train).item() for _ in range(10)]
    worst = problem.loss_in_evaluation(Adversarial()(problem, gates, train), train).item()
    assert worst > plain and worst > max(chance)
    before = {name: buffer.clone() for name, buffer in problem.supernet.named_buffers()}
    Adversarial()(problem, gates, train)
    assert all(torch.equal(before[name], buffer) for name, buffer in problem.supernet.named_buffers())
    assert problem.supernet.training


def test_perturbed_gates_are_clipped_and_normalized():
    """A row of which nothing is left becomes its largest candidate; a removed edge stays removed."""
    gates = {"t": torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.25] * 4, [0.0] * 4]).double()}
    delta = torch.tensor([[0.1, -0.4, 0.2, 0.3], [-0.3, -0.26, -0.4, -0.3], [0.1] * 4]).double()
    expected = torch.tensor([[0.6, 0.0, 0.4, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0] * 4]).double()
    torch.testing.assert_close(added(gates, {"t": delta})["t"], expected)


def test_exponentiated_gradient_is_its_formula_and_stays_on_the_simplex():
    p = uniform(TABLE, torch.zeros(5, 4)).double()
    edges = uniform(TABLE, torch.zeros(5)).double()
    optimizer = ExponentiatedGradient(0.5)({"t": p, edges_of("t"): edges}, (TABLE,), None)
    total = torch.zeros(5, 4).double()
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        p.grad, edges.grad = torch.randn(5, 4, generator=generator).double(), torch.ones(5).double() * seed
        total += p.grad
        optimizer.step()
        torch.testing.assert_close(p.sum(1), torch.ones(5).double())
        torch.testing.assert_close(torch.stack([edges[:2].sum(), edges[2:].sum()]), torch.ones(2).double())
        assert (p > 0).all()
    torch.testing.assert_close(p[p > 1e-3], (-0.5 * total).softmax(1)[p > 1e-3], rtol=1e-2, atol=1e-4)


def test_the_density_of_a_move_is_that_of_both_distributions_over_all_logits():
    generator = torch.Generator().manual_seed(0)
    delta, mean = torch.randn(3, 5, generator=generator).double(), torch.randn(5, generator=generator).double()
    normal, s = torch.distributions.Normal, 0.7
    near, far = (normal(m, s).log_prob(delta).sum(1).exp() for m in (mean, torch.zeros(5).double()))
    found = MonteCarlo(mix=0.25, floor=0.0).log_density(delta, mean, s).exp()
    torch.testing.assert_close(found / found.sum(), (density := 0.75 * near + 0.25 * far) / density.sum())
    near, far = (-(delta - mean).square().sum(1) / 2 / s**2).exp(), (-delta.square().sum(1) / 2 * s**2).exp()
    found = MonteCarlo(mix=0.25, floor=0.1, slip=True).log_density(delta, mean, s).exp()
    torch.testing.assert_close(found, 0.75 * near + 0.25 * far + 0.1)


def test_monte_carlo_moves_towards_the_lower_loss():
    """With a cold temperature the best of the rated moves is taken; and the copies' training leaves the weights."""
    problem, train, valid = tiny.problem(draw=lambda: train)
    before = {name: w.detach().clone() for name, w in problem.weights.items()}
    losses = []
    original = MonteCarlo._rated

    class Rated(MonteCarlo):
        def _rated(self, problem, move, batches, valid):
            assert len(batches) == 2
            losses.append((original(self, problem, move, batches, valid), move))
            return losses[-1][0]

    step = Rated(samples=6, inner=2, deviation=0.5, temperature=1e-9)(problem, train, valid)
    best = min(losses, key=lambda pair: pair[0])[1]
    for label, move in best.items():
        torch.testing.assert_close(-step[label], move)
    assert all(torch.equal(before[name], w) for name, w in problem.weights.items())
