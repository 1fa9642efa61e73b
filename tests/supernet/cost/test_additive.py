"""Costs as sums over candidates: exact for every space, and as expectations under gates."""

import pytest
import torch

from supernet import architectures
from supernet.choice import ChoiceTable
from supernet.cost.additive import AdditiveCost
from supernet.cost.space_costs import SpaceCosts
from supernet.cost.verification import IMAGES, SHAPES
from supernet.spaces import SPACES
from supernet.spaces.space import SpaceOptions
from tests.supernet.every_space import generator


@pytest.mark.parametrize("name", ["nasbench201", "textnet", "recurrent"])
def test_the_expectation_under_one_hot_gates_is_the_cost(name):
    """That sums are the costs of real networks is tested for every space with the counted costs."""
    shape = SHAPES.get(name, IMAGES)
    space = SPACES[name].make(SpaceOptions(shape, channels=4, layers=3))
    found = SpaceCosts(space, shape).cost("multiply_adds").total
    picks = architectures.sample(space, generator(5))
    expected = found.expected(architectures.one_hot(space.tables, picks, torch.float64), space.tables)
    assert expected.item() == pytest.approx(found.of(picks))
    assert found.constant == (name == "recurrent")


def test_the_expectation_is_the_mean_over_drawn_architectures():
    """Decisions inside candidates count with the probability that their candidate is kept."""
    outer = ChoiceTable("outer", ("a", "b"), (1,), keep=None, dropped=())
    inner = ChoiceTable("inner", ("x", "y"), (1,), keep=None, dropped=(), when=((("outer", "a"),),))
    cost = AdditiveCost(
        1.0, {(("outer", 0, "b"),): 10.0, (("outer", 0, "a"), ("inner", 0, "x")): 100.0, (("inner", 0, "y"),): 0.0}
    )
    gates = {"outer": torch.tensor([[0.25, 0.75]]), "inner": torch.tensor([[0.4, 0.6]])}
    assert cost.expected(gates, (outer, inner)).item() == pytest.approx(1 + 0.75 * 10 + 0.25 * 0.4 * 100)


def test_rows_that_compete_and_dropped_candidates():
    """Two of three rows are kept, by their largest gates; ``none`` is never derived, and the others share its gate."""
    table = ChoiceTable("t", ("none", "x", "y"), (3,), keep=2)
    cost = AdditiveCost(0.0, {(("t", row, name),): 10.0**row for row in range(3) for name in ("x",)})
    gates = torch.tensor([[0.5, 0.25, 0.25], [0.9, 0.05, 0.05], [0.2, 0.6, 0.2]], requires_grad=True)
    expected = cost.expected({"t": gates}, (table,))
    assert expected.item() == pytest.approx(0.5 * 1 + 0.75 * 100)
    (gradient,) = torch.autograd.grad(expected, gates)
    assert gradient[1].count_nonzero() == 0 and gradient[2, 1] > 0 > gradient[2, 2] and not gradient[:, 0].any()
