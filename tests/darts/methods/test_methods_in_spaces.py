"""Methods in a model that comes along, which they were not made for: two steps, an evaluation, a network."""

import pytest
import torch

from darts.config import (
    DataConfig,
    LanguageConfig,
    LanguageSearchConfig,
    MethodConfig,
    RetrainConfig,
    SearchConfig,
    SearchSpaceConfig,
    SpaceConfig,
)
from darts.data.registry import open_data
from darts.errors import UserError
from darts.methods.space_factory import space_from
from darts.oneshot.builder import make_search
from genotypes import load, read
from supernet.errors import SpaceError
from supernet.shapes import ImageShape
from tests import stories

CPU = torch.device("cpu")


def task_of(space, method, **options):
    size = SearchSpaceConfig(channels=4, layers=1, name=space)
    components = {key: options.pop(key) for key in list(options) if key in MethodConfig.__dataclass_fields__}
    chosen = MethodConfig(method, **components)
    config = SearchConfig(data=DataConfig("digits"), space=size, method=chosen, epochs=4, batch_size=300, **options)
    return make_search(config, open_data(config.data, CPU, 0), CPU)


@pytest.mark.parametrize("method", ["gdas", "sgas"])
def test_a_model_with_choices(method):
    task = task_of("convnet", method)
    for epoch in (0, 3):
        task.begin_epoch(epoch, 0)
        assert torch.isfinite(task.step()["loss"])
    task.end_epoch(3, lambda *_: None)
    assert task.space.network(task.genotype()).eval()(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


@pytest.mark.parametrize("method", ["snas", "fair_darts", "drnas", "sdarts_adv", "robust_darts", "darts_pt", "sgas"])
def test_a_recurrent_network(method, tmp_path):
    stories.write_folder(tmp_path / "text", counts=(40, 30, 30))
    language = LanguageConfig(length=7)
    data = open_data(DataConfig("text", tmp_path / "text"), CPU, 0, language=language)
    space = SearchSpaceConfig(channels=4, nodes=3, name="recurrent")
    config = LanguageSearchConfig(space=space, method=MethodConfig(method), epochs=4, batch_size=8, language=language)
    task = make_search(config, data, CPU)
    for epoch in (0, 3):
        task.begin_epoch(epoch, 0)
        assert torch.isfinite(task.step()["loss"])
    genotype = read(task.end_epoch(3, lambda *_: None)["genotype"])
    assert len(genotype.nodes) == 3 and task.space.network(genotype)


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
            "the costs of candidates need operations between states, and this space has none: set "
            "`method.penalties` none",
        ),
        (dict(method="darts", edges="per_node"), UserError, "weights of edges need"),
        (dict(method="darts", relax="gumbel:bare=true"), UserError, "bare gates need"),
        (
            dict(method="darts", drop_path=0.1),
            UserError,
            "dropped edges need operations .*: set `drop_path` 0",
        ),
    ],
)
def test_what_a_model_with_choices_cannot_do_is_said(options, error, message):
    with pytest.raises(error, match=message):
        task_of("convnet", **options)


def test_a_genotype_of_another_space_names_its_own():
    config = RetrainConfig(space=SpaceConfig(name="mobile"))
    with pytest.raises(UserError, match="`space.name` is mobile, which the genotype is not of: set it to darts"):
        space_from(config, shape=ImageShape(1, 8, 10), genotype=load("DARTS_V2"))
