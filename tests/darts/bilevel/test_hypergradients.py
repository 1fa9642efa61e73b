"""Hypergradients against numeric differentiation, and against one another."""

from contextlib import nullcontext

import pytest
import torch

from darts.bilevel.hypergradients import UnrolledClipped, UnrolledExact, first_order, unrolled
from darts.bilevel.problem import SearchProblem
from darts.bilevel.relaxations import Softmax
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace
from tests import tiny
from tests.tiny import Smooth, numeric

SPACE = DARTSSpace(
    ImageShape(3, 8, 4), channels=2, layers=3, nodes=1, candidates=("none", "skip_connect", "dil_conv_3x3")
)


def problem_and_batches(backend="reference", momentum_steps=1):
    torch.manual_seed(0)
    supernet = SPACE.supernet(backend).double()
    logits = {t.label: torch.randn(t.rows, len(t.candidates)).double().requires_grad_() for t in SPACE.tables}
    optimizer = torch.optim.SGD(supernet.parameters(), 0.05, momentum=0.9, weight_decay=3e-4)
    problem = SearchProblem(supernet, SPACE.tables, logits, Softmax(), optimizer, torch.Generator(), nullcontext())
    train, valid = ((torch.randn(6, 3, 8, 8).double(), torch.arange(6) % 4) for _ in range(2))
    for _ in range(momentum_steps):
        problem.train_weights(train, 5.0)
    return problem, train, valid


def loss_after_virtual_step(problem, logits, train, valid):
    """The validation loss that the unrolled gradient is the gradient of, by plain arithmetic."""
    weights = {name: w.detach().clone().requires_grad_() for name, w in problem.weights.items()}
    grads = torch.autograd.grad(problem.lower(weights, logits, train), list(weights.values()))
    ahead = {}
    for (name, w), g in zip(weights.items(), grads):
        buffer = problem.optimizer.state[problem.weights[name]].get("momentum_buffer", torch.zeros_like(w))
        ahead[name] = w.detach() - 0.05 * (0.9 * buffer + g + 3e-4 * w.detach())
    return problem.upper(ahead, logits, valid).item()


def numeric_gradients(function, logits):
    return {
        label: numeric(lambda moved, label=label: function(logits | {label: moved}), logit, delta=1e-5)
        for label, logit in logits.items()
    }


def relative(actual, expected):
    scale = max(e.abs().max().item() for e in expected.values())
    return max((actual[label] - expected[label]).abs().max().item() for label in expected) / scale


@pytest.mark.parametrize("momentum_steps", [0, 2])
def test_exact_equals_numeric_differentiation(momentum_steps):
    problem, train, valid = problem_and_batches(momentum_steps=momentum_steps)
    expected = numeric_gradients(lambda logits: loss_after_virtual_step(problem, logits, train, valid), problem.logits)
    assert relative(UnrolledExact()(problem, train, valid), expected) < 1e-7


def test_first_order_equals_numeric_differentiation():
    problem, train, valid = problem_and_batches()
    frozen = {name: w.detach() for name, w in problem.weights.items()}
    expected = numeric_gradients(lambda logits: problem.upper(frozen, logits, valid).item(), problem.logits)
    assert relative(first_order(problem, train, valid), expected) < 1e-7


@pytest.mark.parametrize("backend", ["reference", "batched"])
def test_finite_difference_agrees_with_exact(backend):
    """A step short enough for the network's kinks. Without the second-order term the gradient is far off."""
    exact = UnrolledExact()(*problem_and_batches())
    problem, train, valid = problem_and_batches(backend)
    assert relative(unrolled(problem, train, valid, radius=1e-4), exact) < 1e-5
    assert relative(first_order(problem, train, valid), exact) > 0.1


def test_finite_difference_at_the_papers_radius():
    """Divided by 2 and multiplied by epsilon, as a well-known re-implementation has it, the second order vanishes."""
    problem = Smooth()
    exact = UnrolledExact()(problem, 1.3, 0.7)
    assert relative(unrolled(problem, 1.3, 0.7), exact) < 1e-5
    assert relative(first_order(problem, 1.3, 0.7), exact) > 1e-2


@pytest.mark.parametrize("step", [first_order, unrolled, UnrolledClipped(), UnrolledExact()])
def test_a_hypergradient_moves_nothing(step):
    problem, train, valid = problem_and_batches()
    before = {k: v.clone() for k, v in problem.supernet.state_dict().items()}
    step(problem, train, valid)
    after = problem.supernet.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None for p in (*problem.weights.values(), *problem.logits.values()))


def test_first_order_asks_for_no_weight_gradients():
    problem, _, valid = problem_and_batches("batched")
    asked = []

    def upper(weights, logits, batch):
        asked.extend(w.requires_grad for w in weights.values())
        return SearchProblem.upper(problem, weights, logits, batch)

    problem.upper = upper
    first_order(problem, None, valid)
    assert asked and not any(asked)


def test_training_moves_weights_alone():
    problem, train, _ = problem_and_batches(momentum_steps=0)
    logits = {label: logit.detach().clone() for label, logit in problem.logits.items()}
    weights = {name: w.detach().clone() for name, w in problem.weights.items()}
    means = problem.supernet.stem.norm.running_mean.clone()
    with torch.no_grad():
        expected = problem.lower(problem.weights, problem.logits, train)
    loss, sums = problem.train_weights(train, 5.0)
    assert torch.equal(loss, expected) and sums["images"] == 6 and 0 <= sums["accuracy"] <= 6
    assert all(torch.equal(logits[label], logit) for label, logit in problem.logits.items())
    assert all(not torch.equal(weights[name], w) for name, w in problem.weights.items())
    assert not torch.equal(means, problem.supernet.stem.norm.running_mean)


def test_clipping_bounds_the_step():
    problem, train, _ = problem_and_batches(momentum_steps=0)
    before = torch.cat([w.detach().flatten().clone() for w in problem.weights.values()])
    problem.train_weights(train, 1e-3)
    after = torch.cat([w.detach().flatten() for w in problem.weights.values()])
    decay = 0.05 * 3e-4 * before.norm()
    assert (after - before).norm() <= 0.05 * 1e-3 + decay


def test_the_clipped_unrolled_step_is_its_formula():
    """``d_a L_val(w') - eta k d_a (g(w, a) v)``, ``w'`` after a step along ``k g``; the norm cuts ``k g`` and ``v``."""
    problem, norm = tiny.Smooth(), 0.05
    w, a = problem.weights["w"], problem.logits["t"]
    (g,) = torch.autograd.grad(problem.lower(problem.weights, problem.logits, 1.0), w, create_graph=True)
    factor = norm / g.detach().norm()
    ahead = {"w": problem.virtual_step({"w": w.detach()}, {"w": factor * g.detach()})["w"].requires_grad_()}
    v, direct = torch.autograd.grad(problem.upper(ahead, problem.logits, 1.0), [ahead["w"], a])
    assert factor < 1 and v.norm() > norm
    (mixed,) = torch.autograd.grad(g @ (v * norm / v.norm()), a)
    found = UnrolledClipped(norm)(problem, 1.0, 1.0)["t"]
    torch.testing.assert_close(found, direct - problem.learning_rate * factor * mixed, rtol=1e-4, atol=1e-8)
    assert not torch.allclose(found, direct, rtol=1e-4)
    whole = unrolled(problem, 1.0, 1.0)["t"]
    torch.testing.assert_close(UnrolledClipped(1e9)(problem, 1.0, 1.0)["t"], whole, rtol=0, atol=0)
