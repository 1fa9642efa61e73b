"""Costs in a search: penalties by expected costs for every kind of space, and genotypes within limits."""

import json

import pytest
import torch

from darts.bilevel.expected_cost import ExpectedCost
from darts.config import DeploymentConfig
from darts.errors import UserError
from supernet.cost.additive import parts_of
from supernet.cost.architecture import Deployment, costs_of
from supernet.cost.latency_table import Check, LatencyTable
from supernet.cost.timing import Timing
from supernet.errors import SpaceError
from supernet.parts import keys_of
from tests import tiny


def made(penalties=(), **options):
    settings = tiny.config(epochs=1, penalties=penalties or None, **options)
    return tiny.search(settings, count=16, make=tiny.few_candidates)


def table_of(task, path):
    """A table of latencies in which every part takes as long as its weights and one millisecond."""
    parts = parts_of(task.problem.costs.space, task.problem.costs.shape)
    weights = [sum(p.numel() for p in part.module.parameters()) for part in parts]
    timings = {key: Timing(1.0 + number, 0.1) for key, number in zip(keys_of(parts), weights)}
    about = {"space": "darts", "channels": 4, "layers": 3, "image": [1, 8, 3], "batch": 1}
    factors = {part.name: 0.5 for part in parts}
    LatencyTable(timings, 2.0, factors, Check(4, 0.9, 0.1, (1.0,), (1.0,)), about).write(path)
    return path


def test_the_penalty_is_the_expected_cost_over_the_target():
    task = made()
    problem = task.problem
    for form, expected in (("linear", lambda share: share), ("log", torch.log), ("hinge", lambda share: share - 1)):
        penalty = ExpectedCost("parameters", weight=2.0, target="100", form=form)
        share = penalty.expected(problem, problem.logits) / 100
        found = penalty(problem, problem.logits, {})
        torch.testing.assert_close(found, 2 * expected(share))
        grads = torch.autograd.grad(found, list(problem.logits.values()))
        convolution = problem.tables[0].candidates.index("dil_conv_3x3")
        assert any(grad[:, convolution].gt(0).any() for grad in grads)
    reached = ExpectedCost("parameters", target="1G", form="hinge")
    assert reached(problem, problem.logits, {}).item() == 0


def test_choices_of_a_model_are_priced():
    settings = tiny.config(epochs=1, nodes=None, penalties=("multiply_adds:target=100",))
    task = tiny.search(settings, count=16, make=tiny.modules)
    (penalty,) = task.problem.penalties
    (grad,) = torch.autograd.grad(penalty(task.problem, task.problem.logits, {}), [task.problem.logits["block"]])
    plain, deep = grad[0].tolist()
    assert deep > 0 > plain  # the deep block has a further linear layer


def test_a_penalty_leads_to_cheap_genotypes():
    """Without a loss beside it, logits that descend the penalty leave no convolution."""
    task = made(("multiply_adds",))
    problem, (penalty,) = task.problem, task.problem.penalties
    column = problem.tables[0].candidates.index("dil_conv_3x3")
    logits = list(problem.logits.values())
    for logit in logits:
        logit.data[:, column] = 0.5
    before = penalty.figures(problem, task.picks())
    for _ in range(20):
        for logit, grad in zip(logits, torch.autograd.grad(penalty(problem, problem.logits, {}), logits)):
            logit.data -= grad
    after = penalty.figures(problem, task.picks())
    assert "dil_conv_3x3" not in str(task.genotype())
    assert all(after[name] < before[name] for name in ("expected_multiply_adds", "derived_multiply_adds"))


def test_costs_are_logged_each_epoch():
    task = made(("multiply_adds:target=1k",), limits="parameters=1M")
    task.begin_epoch(0, 0)
    task.step()
    figures = task.end_epoch(0, lambda done, examples: None)
    assert figures["derived_parameters"] > 0 and figures["expected_multiply_adds"] > 0


@pytest.mark.parametrize("cost", ["parameters", "multiply_adds"])
def test_a_genotype_is_within_its_limits(cost):
    free = made()
    prefer = free.problem.tables[0].candidates.index("dil_conv_3x3")
    for logit in free.problem.logits.values():
        logit.data[:, prefer] = 3.0
    space, shape = free.problem.costs.space, free.problem.costs.shape
    deployment = Deployment(shape)
    least = min(costs_of(space, space.derive(p), (cost,), deployment)[cost] for p in (free.picks(),))
    limited = made(limits=f"{cost}={0.9 * least}")
    for label, logit in limited.problem.logits.items():
        logit.data.copy_(free.problem.logits[label])
    genotype = limited.genotype()
    assert costs_of(space, genotype, (cost,), deployment)[cost] <= 0.9 * least
    assert genotype != free.genotype() and "dil_conv_3x3" in str(genotype)


def test_limits_of_latency_and_the_size_of_the_deployed_network(tmp_path):
    path = table_of(made(), tmp_path / "latency.json")
    task = made(limits="latency=60ms", deployment=DeploymentConfig(latencies=path))
    for logit in task.problem.logits.values():
        logit.data[:, -1] = 3.0
    assert task.limits.costs["latency"].of(task.picks()) <= 60
    wide = made(("parameters",), deployment=DeploymentConfig(channels=8))
    narrow = made(("parameters",))
    expected = [each.problem.penalties[0].expected(each.problem, each.problem.logits) for each in (wide, narrow)]
    assert expected[0] > 2 * expected[1]
    with pytest.raises(SpaceError, match="it was measured for space darts, channels 4"):
        made((f"latency:file={path}",), deployment=DeploymentConfig(channels=8))
    penalized = made((f"latency:file={path},target=60ms",))
    figures = penalized.problem.penalties[0].figures(penalized.problem, penalized.picks())
    assert set(figures) == {"expected_latency", "derived_latency"} and json.dumps(figures)


@pytest.mark.parametrize(
    ("penalties", "options", "message"),
    [
        (("latency",), {}, "`method.penalties` latency needs a table of measurements"),
        (("latency:file=missing.json",), {}, "missing.json: cannot be read"),
        (("parameters:form=hinge",), {}, "the form hinge needs a target"),
        (("parameters:target=5ms",), {}, "'5ms' is not a positive quantity of parameters"),
        (("memory:file=a.json",), {}, "the cost latency alone reads"),
        ((), {"limits": "latency=5ms"}, "`limits` of latency need `deployment.latencies`"),
        ((), {"limits": "parameters=5"}, "no architecture of this space has parameters of 5; it is"),
    ],
)
def test_mistakes_are_found_before_a_step(penalties, options, message):
    with pytest.raises((UserError, SpaceError), match=message):
        made(penalties, **options)
