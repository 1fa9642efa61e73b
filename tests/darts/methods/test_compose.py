"""Relaxation, discretization, learning rates."""

import math

import pytest
import torch

from darts.bilevel.discretization import top_edges
from darts.bilevel.relaxations import Softmax
from darts.config import WeightsConfig
from supernet.choice import ChoiceTable

TABLE = ChoiceTable("t", ("none", "a", "b"), (2, 3))


def test_gates_have_the_numeric_gradient():
    relax, generator = Softmax(), torch.Generator()
    logits = torch.randn(TABLE.rows, 3, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda x: relax.gates(x, TABLE, 0.5, generator), (logits,))
    torch.testing.assert_close(relax.expected_gates(logits, TABLE).sum(1), torch.ones(TABLE.rows, dtype=torch.float64))


def test_top_edges_by_their_best_candidate_but_none():
    strength = torch.tensor(
        [[0.9, 0.06, 0.04], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3], [0.0, 0.45, 0.55], [0.6, 0.3, 0.1]],
    )
    assert top_edges(strength, TABLE) == ((1, "b"), (0, "a"), (3, "b"), (2, "a"))


def test_equal_edges_come_in_the_order_of_rows():
    strength = torch.full((5, 3), 1 / 3)
    assert top_edges(strength, TABLE) == ((0, "a"), (1, "a"), (2, "a"), (3, "a"))


def test_learning_rates_are_those_of_pytorchs_schedulers():
    parameter = torch.nn.Parameter(torch.zeros(1))
    for config, make in (
        (WeightsConfig(), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 50, 0.001)),
        (WeightsConfig(schedule="exponential"), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.97)),
    ):
        optimizer = torch.optim.SGD([parameter], config.lr)
        scheduler = make(optimizer)
        for epoch in range(50):
            assert math.isclose(config.learning_rate(epoch, 50), optimizer.param_groups[0]["lr"], rel_tol=1e-9)
            optimizer.step()
            scheduler.step()


def test_a_schedule_made_for_more_epochs_is_cut_short():
    whole, cut = WeightsConfig(), WeightsConfig(horizon=50)
    assert [cut.learning_rate(epoch, 25) for epoch in range(25)] == [whole.learning_rate(e, 50) for e in range(25)]


def test_warmup_rises_linearly():
    config = WeightsConfig(lr=1.0, schedule="linear", warmup=5)
    assert [config.learning_rate(e, 10) for e in (0, 4, 5)] == pytest.approx([0.2, 0.6, 0.5])
