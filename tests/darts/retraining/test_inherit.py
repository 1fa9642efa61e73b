"""Every search recipe can be inherited: its last checkpoint is read into the space that the search ended in."""

import json
from dataclasses import replace

import pytest
import torch

from darts.artifacts.checkpoint import path_of, save
from darts.artifacts.run_folder import CHECKPOINTS
from darts.config import (
    BenchmarkConfig,
    DataConfig,
    LanguageRetrainConfig,
    LanguageSearchConfig,
    RetrainConfig,
    SearchConfig,
    SpaceConfig,
    to_dict,
)
from darts.data.registry import open_data
from darts.errors import UserError
from darts.methods.compose import compose
from darts.oneshot.builder import make_search
from darts.recipes.registry import SEARCH_RECIPES
from darts.retraining.inherit import inherited
from supernet.architectures import one_hot
from supernet.errors import SpaceError
from supernet.shapes import ImageShape
from tests import tiny

TEXTS = {"csv": "label,text\n" + "0,the cat sat\n1,a dog lay by the door\n" * 40}
TEXTS |= dict.fromkeys(("text", "ptb", "wikitext2"), "the cat sat on the mat and the dog lay by the door\n" * 200)
STAGES = ("stage:share=0.5", "stage:share=0.5,depth=2,keep=2,fresh=true", "stage:share=0.5,depth=2,keep=2")


def small(config, **method):
    """The recipe at the least size that its method allows."""
    config = replace(config, method=replace(config.method, **method))
    partial = max(config.space.partial or stage.partial for stage in compose(config).stages)
    layers = 1 if config.space.name == "nasbench201" else 3
    width = config.space.channels if config.space.name == "textnet" else 2 * partial
    space = replace(config.space, channels=width, layers=layers)
    if space.name == "vit":
        space = replace(space, patches=(2, 4))  # of images of 8 pixels
    benchmark = BenchmarkConfig()  # it covers the recipe's own data set alone
    return replace(config, space=space, benchmark=benchmark, batch_size=4, epochs=max(config.epochs, 10))


def ended(config, folder):
    """A run's folder as the search leaves it, though nothing was trained; the search, and its data set."""
    folder.mkdir()
    if config.data.name in TEXTS:
        path = folder / "text.txt"
        path.write_text(TEXTS[config.data.name])
        source = DataConfig("csv" if config.data.name == "csv" else "text", path)
        data = open_data(source, tiny.CPU, 0, language=config.language)
    else:
        data = tiny.data()
    task = make_search(config, data, tiny.CPU)
    task.begin_epoch(config.epochs - 1, 0)
    save(path_of(folder / CHECKPOINTS, 1), {"kind": "search", "task": task.state()})
    (folder / "config.json").write_text(json.dumps({"kind": "search", "config": to_dict(config)}))
    return task, data


def inheriting(task, data, folder):
    size = SpaceConfig(task.config.space.channels, task.config.space.layers)
    config = RetrainConfig(inherit=folder, space=size, auxiliary=0)
    if isinstance(task.config, LanguageSearchConfig):
        config = LanguageRetrainConfig(inherit=folder, space=size, auxiliary=0, language=task.config.language)
    return inherited(config, task.genotype(), data.shape)


def assert_equal_under_one_hot_gates(task, network, data):
    """The supernet, with auxiliary skips faded out, computes what the network does."""
    supernet = task.space.supernet()
    trained = task.problem.supernet.state_dict()
    supernet.load_state_dict({name: trained[name] for name in supernet.state_dict()})
    images, _ = next(data.train.batches(torch.arange(4), 4, training=False))
    gates = one_hot(task.space.tables, task.space.picks(task.genotype()))
    with torch.no_grad():
        expected, found = supernet.eval()(images, gates), network.eval()(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


IMAGES_AND_TEXTS = [name for name, make in SEARCH_RECIPES.items() if make().space.name != "translation"]
"""Recipes whose networks are called with one tensor."""


@pytest.mark.parametrize("name", IMAGES_AND_TEXTS)
def test_the_network_of_a_recipe_inherits(name, tmp_path):
    config = small(SEARCH_RECIPES[name]())
    task, data = ended(config, tmp_path / "run")
    assert task.stage == len(task.method.stages) - 1
    if (config.space.partial or task.method.stages[-1].partial) > 1:
        with pytest.raises(SpaceError, match="partial channels has no weights"):
            inheriting(task, data, tmp_path / "run")
        return
    if name == "fair_darts_cifar10":  # its threshold leaves nodes without edges, which the supernet's cells do not have
        with pytest.raises(SpaceError):
            inheriting(task, data, tmp_path / "run")
        return
    network = inheriting(task, data, tmp_path / "run")
    noisy = config.space.candidates == "s4"  # it has an operation that draws
    beyond = name == "fair_darts_digits201"  # an edge below the threshold is "none", which is no candidate
    if isinstance(data.shape, ImageShape) and not noisy and not beyond:
        assert_equal_under_one_hot_gates(task, network, data)


@pytest.mark.parametrize("name", ["darts_v1_cifar10", "gdas_nasbench201_cifar10", "pdarts_cifar10"])
def test_the_network_of_overridden_stages_inherits(name, tmp_path):
    config = small(SEARCH_RECIPES[name](), stages=STAGES, callbacks=("none",))
    task, data = ended(config, tmp_path / "run")
    assert task.stage == 2
    assert_equal_under_one_hot_gates(task, inheriting(task, data, tmp_path / "run"), data)


def test_left_out_candidates_stay_left_out(tmp_path):
    task, data = ended(small(SearchConfig(), without=("none", "skip_connect")), tmp_path / "run")
    assert_equal_under_one_hot_gates(task, inheriting(task, data, tmp_path / "run"), data)


def test_a_hand_edited_configuration_is_refused_with_its_file(tmp_path):
    task, data = ended(small(SearchConfig()), tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    for field, value, said in (
        ("space", {"name": "nothing"}, "space.name"),
        ("method", {"relax": "x"}, "method.relax"),
    ):
        content["config"] = to_dict(task.config)
        content["config"][field] |= value
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match=rf"config\.json: .*{said}"):
            inheriting(task, data, tmp_path / "run")


def test_a_stage_that_the_method_has_not_is_refused(tmp_path):
    task, data = ended(small(SearchConfig()), tmp_path / "run")
    save(path_of(tmp_path / "run" / CHECKPOINTS, 1), {"kind": "search", "task": {**task.state(), "stage": 3}})
    with pytest.raises(UserError, match="written in stage 3"):
        inheriting(task, data, tmp_path / "run")
