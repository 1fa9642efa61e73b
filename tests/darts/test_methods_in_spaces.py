"""Methods in spaces that they were not made for: two steps, an evaluation, a genotype that builds a network."""

import pytest
import torch

from darts.config import DataConfig, MethodConfig, SearchConfig, SearchSpaceConfig
from darts.datasets import open_data
from darts.errors import UserError
from darts.search import SearchTask
from supernet.errors import SpaceError

CPU = torch.device("cpu")


def task_of(space, method):
    size = SearchSpaceConfig(channels=12 if method == "drnas_progressive" else 4, layers=1, name=space)
    config = SearchConfig(data=DataConfig("digits"), space=size, method=MethodConfig(method), epochs=4, batch_size=300)
    return SearchTask(config, open_data(config.data, CPU, 0), CPU)


@pytest.mark.parametrize(
    "method", ["gdas", "pc_darts", "snas", "fair_darts", "darts_minus", "drnas_progressive", "sgas"]
)
def test_nasbench201(method):
    search(task_of("nasbench201", method))


@pytest.mark.parametrize("method", ["gdas", "fair_darts", "gaea", "sgas", "milenas"])
def test_a_model_with_choices(method):
    search(task_of("convnet", method))


def search(task):
    for epoch in (0, 3):
        task.begin_epoch(epoch, 0)
        assert torch.isfinite(task.step()["loss"])
    task.end_epoch(3, lambda *_: None)
    assert task.space.network(task.genotype()).eval()(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


@pytest.mark.parametrize(
    ("method", "error", "message"),
    [
        ("pc_darts", SpaceError, "partial channels"),
        ("pdarts", UserError, "dropout of skips"),
        ("darts_minus", UserError, "auxiliary skips"),
        ("oles", UserError, "stopping of operations"),
    ],
)
def test_what_a_model_with_choices_cannot_do_is_said(method, error, message):
    with pytest.raises(error, match=message):
        task_of("convnet", method)
