"""The optimizer of the weights, SGD or AdamW: searches resume bit for bit, and refuse AdamW where steps look ahead."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from darts.config import RetrainConfig, SearchConfig, WeightsConfig, check
from darts.errors import UserError
from darts.methods.compose import compose
from darts.training.weights_optimizer import set_learning_rate, weights_optimizer
from tests import tiny

ADAMW = WeightsConfig(optimizer="adamw", lr=0.01, momentum=0.8, weight_decay=0.1)


def test_a_step_of_adamw_is_pytorchs():
    """Loshchilov and Hutter 2019, algorithm 2: in the first step the direction is the gradient's sign."""
    network = nn.Linear(2, 1, bias=False)
    before = network.weight.detach().clone()
    optimizer = weights_optimizer(network, ADAMW)
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.999)
    set_learning_rate(optimizer, 0.5)
    (network(torch.tensor([[3.0, -2.0]]))).sum().backward()
    optimizer.step()
    wanted = before * (1 - 0.5 * 0.1) - 0.5 * torch.tensor([[1.0, -1.0]])
    torch.testing.assert_close(network.weight.detach(), wanted)


def test_a_search_with_adamw_resumes_bit_for_bit(tmp_path):
    def task():
        return tiny.search(replace(tiny.config(epochs=2), weights=ADAMW), make=tiny.few_candidates)

    whole = tiny.run(task(), saving=[((1, 1), tmp_path / "state.pt")])
    again = tiny.resumed(task(), tmp_path / "state.pt", 1, 1)
    for first, second in zip(whole.problem.supernet.parameters(), again.problem.supernet.parameters()):
        assert torch.equal(first, second)
    assert whole.genotypes == again.genotypes


@pytest.mark.parametrize(
    ("components", "reason"),
    [
        (dict(step="unrolled"), "the step looks ahead by steps of SGD: set `weights.optimizer` sgd"),
        (dict(method="idarts"), "the step looks ahead by steps of SGD"),
        (dict(method="zarts"), "the step looks ahead by steps of SGD"),
        (dict(method="robust_darts_ada"), "steps of SGD|momentum of SGD"),
    ],
)
def test_steps_that_look_ahead_need_sgd(components, reason):
    with pytest.raises(UserError, match=reason):
        compose(replace(tiny.config(components.pop("method", "darts"), **components), weights=ADAMW))


def test_adamw_has_no_nesterov_momentum():
    for config in (SearchConfig(), RetrainConfig()):
        with pytest.raises(UserError, match="`weights.nesterov` is on, which `weights.optimizer` adamw does not have"):
            check(replace(config, weights=replace(ADAMW, nesterov=True)))
