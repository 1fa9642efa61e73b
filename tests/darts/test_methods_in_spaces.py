"""Methods in a model that comes along, which they were not made for: two steps, an evaluation, a network."""

import pytest
import torch

from darts.config import DataConfig, MethodConfig, SearchConfig, SearchSpaceConfig
from darts.datasets import open_data
from darts.errors import UserError
from darts.search import SearchTask
from supernet.errors import SpaceError

CPU = torch.device("cpu")


def task_of(space, method, **options):
    size = SearchSpaceConfig(channels=4, layers=1, name=space)
    pieces = {key: options.pop(key) for key in list(options) if key in MethodConfig.__dataclass_fields__}
    chosen = MethodConfig(method, **pieces)
    config = SearchConfig(data=DataConfig("digits"), space=size, method=chosen, epochs=4, batch_size=300, **options)
    return SearchTask(config, open_data(config.data, CPU, 0), CPU)


@pytest.mark.parametrize("method", ["gdas", "sgas"])
def test_a_model_with_choices(method):
    task = task_of("convnet", method)
    for epoch in (0, 3):
        task.begin_epoch(epoch, 0)
        assert torch.isfinite(task.step()["loss"])
    task.end_epoch(3, lambda *_: None)
    assert task.space.network(task.genotype()).eval()(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(method="pc_darts"), SpaceError, "partial channels"),
        (dict(method="pdarts"), UserError, "dropout of skips"),
        (dict(method="darts_minus"), UserError, "auxiliary skips"),
        (dict(method="oles"), UserError, "stopping of operations"),
        (
            dict(method="snas", penalties=("resource",)),
            UserError,
            "no operations between states, which the costs of candidates need: set --method.penalties none",
        ),
        (dict(method="darts", edges="per_node"), UserError, "weights of edges need"),
        (dict(method="darts", relax="gumbel:bare=true"), UserError, "bare gates need"),
        (dict(method="darts", drop_path=0.1), UserError, "dropped edges need: set --drop-path 0"),
    ],
)
def test_what_a_model_with_choices_cannot_do_is_said(options, error, message):
    with pytest.raises(error, match=message):
        task_of("convnet", **options)
