"""Each relaxation's own equations, in float64: gradients, limits, moments."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.distributions import RelaxedOneHotCategorical

from darts.bilevel.hypergradients import first_order
from darts.bilevel.relaxations import DirichletGates, concentration, linear
from darts.methods import RELAXATIONS
from darts.methods.fair_darts import Sigmoid
from darts.methods.gaea import Simplex, uniform
from darts.methods.gdas import HardGumbel
from darts.methods.pc_darts import PerNode
from darts.methods.snas import Concrete
from supernet.choice import ChoiceTable
from supernet.mixed.graph import MixedGraph
from tests import tiny
from tests.tiny import TABLE

HALF = torch.tensor(0.5).double()
ALLOWED = ChoiceTable("t", ("none", "a", "b", "c"), (2,), (("a", "b"), ("none", "c")))


def logits(table=TABLE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(table.rows, 4, generator=generator).double().requires_grad_()


def gates_of(relax, x, table=TABLE, progress=0.5, seed=0):
    return relax.gates(x, table, torch.tensor(progress).double(), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", [name for name in RELAXATIONS if name not in ("gumbel", "dirichlet")])
def test_gradient_is_the_numeric_one(name):
    assert gradcheck(lambda x: gates_of(RELAXATIONS[name], x), (logits(),))
    assert gradcheck(lambda x: RELAXATIONS[name].expected_gates(x, TABLE), (logits(),))


@pytest.mark.parametrize("name", RELAXATIONS)
def test_what_is_not_allowed_has_a_gate_of_0(name):
    x = uniform(ALLOWED, torch.zeros(2, 4)).double() if name == "simplex" else logits(ALLOWED)
    x = x.detach().requires_grad_()
    for gates in (gates_of(RELAXATIONS[name], x, ALLOWED), RELAXATIONS[name].expected_gates(x, ALLOWED)):
        assert torch.equal(gates == 0, gates.detach() * ALLOWED.mask == 0)
        assert not gates[~ALLOWED.mask].any() and gates[ALLOWED.mask].sum() > 0
        if name != "sigmoid":
            torch.testing.assert_close(gates.sum(1), torch.ones(2, dtype=torch.float64))
    assert torch.isfinite(torch.autograd.grad(gates.square().sum(), x)[0]).all()


def test_gdas_samples_one_hot_with_the_softmax_as_probability():
    x, relax, generator = logits(), HardGumbel(), torch.Generator().manual_seed(0)
    drawn = torch.stack([relax.gates(x, TABLE, 0.3, generator).detach() for _ in range(4000)])
    assert set(drawn.unique().tolist()) == {0.0, 1.0} and (drawn.sum(2) == 1).all()
    assert (drawn.mean(0) - x.softmax(1)).abs().max() < 0.03


def test_gates_on_the_simplex_can_be_the_probabilities_of_gdas():
    p = logits().detach().softmax(1).requires_grad_()
    sampled, hard = (gates_of(relax, x) for relax, x in ((Simplex(sampled=True), p), (HardGumbel(), p.log())))
    assert torch.equal(sampled, hard) and torch.equal(sampled, sampled.round())
    left_out = uniform(ALLOWED, torch.zeros(2, 4)).double().requires_grad_()
    gates = gates_of(Simplex(sampled=True), left_out, ALLOWED)
    (grad,) = torch.autograd.grad((gates * torch.arange(8.0).view(2, 4)).sum(), left_out)
    assert torch.isfinite(grad).all() and not gates[~ALLOWED.mask].any() and not grad[~ALLOWED.mask].any()


@pytest.mark.parametrize("last", [1e-3, 1.0])
def test_gdas_passes_the_gradient_of_the_soft_sample(last):
    """The same noise gives the concrete sample, whose argmax is the hard one; at temperature 0 both are one."""
    x = logits()
    weights = torch.arange(20.0).view(5, 4).double()
    hard, soft = (gates_of(kind(1.0, last), x, progress=1.0) for kind in (HardGumbel, Concrete))
    assert torch.equal(hard.argmax(1), soft.argmax(1)) and torch.equal(hard, hard.round())
    grads = [torch.autograd.grad((gates * weights).sum(), x, retain_graph=True)[0] for gates in (hard, soft)]
    assert torch.equal(*grads)
    if last < 1:
        torch.testing.assert_close(hard, soft, atol=1e-9, rtol=0)


def test_bare_gates_of_0_get_the_sum_of_the_edges_gradient():
    graph = MixedGraph(2, ("skip_connect", "none", "avg_pool_3x3"), 1, 1).double()
    gates = torch.tensor([[1.0, 0.0, 0.0]]).double().requires_grad_()
    x, weights = torch.randn(2, 2, 4, 4).double(), torch.randn(2, 2, 4, 4).double()
    bare = graph([x], gates, bias=(gates * (gates == 0)).sum(1))[1]
    assert torch.equal(bare, graph([x], gates)[1])
    (grad,) = torch.autograd.grad((bare * weights).sum(), gates)
    torch.testing.assert_close(grad, torch.stack([(x * weights).sum(), weights.sum(), weights.sum()])[None])


def test_the_authors_form_of_gdas_is_an_option():
    plain, bare = (tiny.problem(relax=HardGumbel(bare=option)) for option in (False, True))
    assert torch.equal(*(p.loss(p.weights, p.gates(p.logits), valid) for p, _, valid in (plain, bare)))
    first, second = (first_order(*made) for made in (plain, bare))
    assert not torch.equal(first["normal"], second["normal"])


def test_temperatures_and_radii_move_linearly():
    assert [linear(10.0, 0.1, p) for p in (0, 0.5, 1)] == pytest.approx([10, 5.05, 0.1])


def test_the_density_of_concrete_samples_is_pytorchs():
    x, relax = logits().detach(), Concrete(0.8, 0.8)
    drawn = gates_of(relax, x)
    expected = RelaxedOneHotCategorical(torch.tensor(0.8).double(), logits=x).log_prob(drawn)
    torch.testing.assert_close(relax.log_density(drawn, x, TABLE, HALF), expected)
    assert gradcheck(lambda x: relax.log_density(drawn, x, TABLE, HALF), (logits(),))


def test_the_density_knows_what_is_not_allowed():
    x, relax = logits(ALLOWED).detach(), Concrete(0.8, 0.8)
    drawn = gates_of(relax, x, ALLOWED)
    parts = x[ALLOWED.mask].view(2, 2), drawn[ALLOWED.mask].view(2, 2)
    expected = RelaxedOneHotCategorical(torch.tensor(0.8).double(), logits=parts[0]).log_prob(parts[1])
    torch.testing.assert_close(relax.log_density(drawn, x, ALLOWED, HALF), expected)


def test_fair_darts_gates_are_independent():
    jacobian = torch.autograd.functional.jacobian(lambda x: Sigmoid().expected_gates(x, TABLE), logits()).view(20, 20)
    assert torch.equal(jacobian, torch.diag(jacobian.diagonal())) and (jacobian.diagonal() > 0).all()


def test_dirichlet_samples_have_its_mean_and_variance():
    x = torch.tensor([[-1.0, 0.3, 2.0, 0.0]]).double().expand(40000, 4)
    table = ChoiceTable("t", TABLE.candidates, (40000,))
    drawn = gates_of(DirichletGates(), x, table)
    c = concentration(x[:1])
    total = c.sum()
    torch.testing.assert_close(drawn.mean(0, keepdim=True), c / total, atol=5e-3, rtol=0)
    variance = c * (total - c) / (total**2 * (total + 1))
    torch.testing.assert_close(drawn.var(0, keepdim=True), variance, atol=3e-3, rtol=0)


def test_dirichlet_gradient_has_the_mean_of_the_distributions_mean():
    """Over many samples, the gradient of a weighted sum is that of its expectation, whose concentrations are known."""
    rows = 40_000
    table = ChoiceTable("t", TABLE.candidates, (rows,))
    x = torch.tensor([[0.2, 1.0, -0.4, 0.7]]).double().expand(rows, 4).clone().requires_grad_()
    weights = torch.tensor([1.0, -2.0, 3.0, 0.5]).double()
    (grad,) = torch.autograd.grad((gates_of(DirichletGates(), x, table, seed=1) * weights).sum(), x)
    y = x[:1].detach().requires_grad_()
    c = concentration(y)
    (expected,) = torch.autograd.grad((c / c.sum() * weights).sum(), y)
    error = grad.std(0) / rows**0.5
    assert ((grad.mean(0) - expected[0]).abs() < 5 * error).all() and (expected[0].abs() > 20 * error).all()


def test_weights_of_edges_compete_within_a_node():
    beta = torch.randn(5).double().requires_grad_()
    assert gradcheck(lambda b: PerNode()(b, TABLE), (beta,))
    torch.testing.assert_close(PerNode()(beta, TABLE)[:2], beta[:2].softmax(0))
    jacobian = torch.autograd.functional.jacobian(lambda b: PerNode()(b, TABLE), beta)
    assert not jacobian[:2, 2:].any() and not jacobian[2:, :2].any()
