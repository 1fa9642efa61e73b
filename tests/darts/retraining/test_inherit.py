"""Every search recipe can be inherited: its last checkpoint is read into the space that the search ended in."""

import json
from dataclasses import replace

import pytest

from darts.artifacts.checkpoint import path_of, save
from darts.artifacts.run_folder import CHECKPOINTS
from darts.config import DataConfig, LanguageRetrainConfig, SearchConfig, SpaceConfig, to_dict
from darts.data.registry import open_data
from darts.errors import UserError
from darts.methods.compose import compose
from darts.oneshot.builder import make_search
from darts.recipes.registry import SEARCH_RECIPES
from darts.retraining.inherit import inherited
from tests import tiny

IMAGES = {"digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "imagenet", "folder", "npz"}
STAGES = ("stage:share=0.5", "stage:share=0.5,depth=2,keep=2,fresh=true", "stage:share=0.5,partial=2,keep=2")


def small(config, **method):
    """The recipe at the least size that its method allows, on images or texts that are at hand."""
    config = replace(config, method=replace(config.method, **method))
    partial = max(config.space.partial or stage.partial for stage in compose(config).stages)
    layers = 1 if config.space.name == "nasbench201" else 3
    space = replace(config.space, channels=2 * partial, layers=layers, stem="auto")
    return replace(config, space=space, batch_size=4, epochs=max(config.epochs, 10))


def ended(config, folder, text):
    """A run's folder as the search leaves it, though nothing was trained; and what it found."""
    data = tiny.data() if config.data.name in IMAGES else open_data(text, tiny.CPU, 0, language=config.language)
    task = make_search(config, data, tiny.CPU)
    task.begin_epoch(config.epochs - 1, 0)
    save(path_of(folder / CHECKPOINTS, 1), {"kind": "search", "task": task.state()})
    (folder / "config.json").write_text(json.dumps({"kind": "search", "config": to_dict(config)}))
    return task, data.shape


def inheriting(task, shape, folder):
    size = task.config.space
    config = LanguageRetrainConfig(
        inherit=folder, space=SpaceConfig(size.channels, size.layers), auxiliary=0, language=task.config.language
    )
    return inherited(config, task.genotype(), shape)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on the mat and the dog lay by the door\n" * 200)
    return DataConfig("text", path)


@pytest.mark.parametrize("name", SEARCH_RECIPES)
def test_the_network_of_a_recipe_inherits(name, tmp_path, text):
    task, shape = ended(small(SEARCH_RECIPES[name]()), tmp_path / "run", text)
    network = inheriting(task, shape, tmp_path / "run")
    assert task.stage == len(task.method.stages) - 1
    searched = {tensor.flatten()[0].item() for tensor in task.problem.supernet.parameters()}
    assert all(parameter.flatten()[0].item() in searched for parameter in network.parameters())


@pytest.mark.parametrize("name", ["darts_v1_cifar10", "gdas_nasbench201_cifar10", "pdarts_cifar10"])
def test_the_network_of_overridden_stages_inherits(name, tmp_path, text):
    config = small(SEARCH_RECIPES[name](), stages=STAGES, callbacks=("none",))
    task, shape = ended(config, tmp_path / "run", text)
    assert inheriting(task, shape, tmp_path / "run") is not None and task.stage == 2


def test_left_out_candidates_stay_left_out(tmp_path, text):
    task, shape = ended(small(SearchConfig(), without=("none", "skip_connect")), tmp_path / "run", text)
    assert inheriting(task, shape, tmp_path / "run") is not None


def test_a_hand_edited_configuration_is_refused_with_its_file(tmp_path, text):
    task, shape = ended(small(SearchConfig()), tmp_path / "run", text)
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
            inheriting(task, shape, tmp_path / "run")


def test_a_stage_that_the_method_has_not_is_refused(tmp_path, text):
    task, shape = ended(small(SearchConfig()), tmp_path / "run", text)
    save(path_of(tmp_path / "run" / CHECKPOINTS, 1), {"kind": "search", "task": {**task.state(), "stage": 3}})
    with pytest.raises(UserError, match="written in stage 3"):
        inheriting(task, shape, tmp_path / "run")
