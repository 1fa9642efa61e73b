"""Searches and retrainings for masks and boxes, small: from recipe to picture, resumed, and without gradients."""

from dataclasses import replace

import pytest
import torch
from rich.console import Console

import darts
from darts.artifacts.checkpoint import canonical, load, save
from darts.artifacts.fingerprint import of_data_set
from darts.artifacts.run_config import describe_run
from darts.artifacts.run_record import read_record
from darts.config import to_dict
from darts.config.fields import replaced
from darts.data.registry import open_data
from darts.oneshot.builder import make_search
from darts.oneshot.task import SearchTask
from darts.recipes import FINAL_RECIPES, SEARCH_RECIPES, final_for
from darts.retraining.evaluator import Budget, Retraining, Trial
from darts.retraining.export import WRITERS, rebuilt
from darts.retraining.task import RetrainTask
from darts.training.objective import SCORES, score_of
from genotypes import ChoicesGenotype
from genotypes.types.nasbench201 import NASBench201Genotype
from tests import tiny

SMALL = {
    "data.canvas.train": 24,
    "data.canvas.test": 6,
    "data.canvas.size": 16,
    "data.canvas.objects": 2,
    "data.canvas.smallest": 6,
    "data.canvas.largest": 9,
    "data.canvas.full": False,
    "data.canvas.rotation": 0.0,
    "space.name": "darts",
    "space.stages": None,
    "space.stem": "strided",
    "space.channels": 2,
    "space.layers": 3,
    "epochs": 2,
    "batch_size": 6,
}
TASKS = {"segmentation_digits": "mean_iou", "detection_digits": "average_precision"}
LEARNED = {"segmentation_digits": "mean_iou", "detection_digits": "average_precision_50"}
CONVOLUTIONS = {
    "segmentation_digits": (
        {"space.name": "nasbench201", "space.layers": 1, "space.stages": 3},
        NASBench201Genotype(("nor_conv_3x3",) * 6),
    ),
    "detection_digits": (
        {"space.name": "mobile"},
        ChoicesGenotype({f"block{index}": ("mb3_3x3",) for index in range(3)}),
    ),
}
"""The recipe's space, and its architecture of convolutions."""
STEPS = 80
"""In which eight canvases are learned."""


def small(recipe):
    config = replaced(recipe(), SMALL)
    return config, open_data(config.data, tiny.CPU, config.seed)


@pytest.mark.parametrize("name", TASKS)
def test_few_canvases_are_learned_by_heart(name):
    """Targets lie where the images have them, and the recipe's optimizer moves the head: else this stays below."""
    settings = SMALL | {"data.canvas.train": 8, "batch_size": 8, "epochs": STEPS, "data.crop_padding": 0}
    own, genotype = CONVOLUTIONS[name]
    config = replaced(FINAL_RECIPES[name](), settings | {"space.stem": "auto", "space.channels": 8} | own)
    data = open_data(config.data, tiny.CPU, config.seed)
    task = RetrainTask(config, genotype, replace(data, test=data.train), tiny.CPU)
    for epoch in range(config.epochs):
        task.begin_epoch(epoch, 0)
        task.step()
    figures = task.end_epoch(config.epochs - 1, lambda done, examples: None)
    assert figures[f"test_{LEARNED[name]}"] > 0.98


def searched(config, data):
    settings = replace(config, space=replace(config.space, nodes=1))
    return make_search(settings, data, tiny.CPU)


@pytest.mark.parametrize("name", TASKS)
def test_from_search_to_picture(name, tmp_path):
    config, data = small(SEARCH_RECIPES[name])
    task: SearchTask = searched(config, data)
    save(tmp_path / "state", {"task": task.state()})
    tiny.run(task, saving=[((1, 1), tmp_path / "within")])
    figure = TASKS[name]
    assert figure in SCORES and task.context.accuracies[-1] == task.evaluated[f"valid_{figure}"] == score_of(
        task.evaluated
    )
    again = small(SEARCH_RECIPES[name])
    resumed = tiny.resumed(searched(*again), tmp_path / "within", 1, 1)
    assert of_data_set(again[1]) == of_data_set(data) and resumed.genotypes == task.genotypes
    assert all(map(torch.equal, canonical(resumed.problem.weights).values(), canonical(task.problem.weights).values()))
    assert final_for(config.space.name, config.data.name) == name
    final, data = small(FINAL_RECIPES[name])
    retraining = RetrainTask(replace(final, drop_path=0.2), task.genotype(), data, tiny.CPU)
    tiny.run(retraining)
    written = retraining.write(tmp_path)
    assert f"test_{figure}" in written and "test_error" not in written
    assert (tmp_path / "predictions.png").read_bytes().startswith(b"\x89PNG")
    assert load(tmp_path / "weights.pt")["shape"] == [1, 16, len(data.classes), data.shape.target]


def test_a_trial_of_a_search_without_gradients(tmp_path):
    config, data = small(FINAL_RECIPES["detection_digits"])
    task = searched(*small(SEARCH_RECIPES["detection_digits"]))
    settings = replace(config, epochs=1)
    score = Retraining(settings, data, tiny.CPU, Console(quiet=True))(task.genotype(), Budget(1), Trial(tmp_path / "t"))
    values = {f"valid_{name.removeprefix('test_')}": value for name, value in score.values.items()}
    assert score_of(values) == score.values["test_average_precision"]


@pytest.mark.parametrize("name", TASKS)
def test_what_is_exported_computes_the_same(name, tmp_path):
    final, data = small(FINAL_RECIPES[name])
    genotype = searched(*small(SEARCH_RECIPES[name])).genotype()
    describe_run(tmp_path, "retrain", to_dict(final), tiny.CPU)
    RetrainTask(final, genotype, data, tiny.CPU).write(tmp_path)
    model, shape = rebuilt(read_record(tmp_path))
    assert shape == data.shape and shape.target == data.shape.target
    assert WRITERS["state_dict"](model, shape, tmp_path / "state.pt") < 1e-4
    _, targets = next(data.test.batches(torch.arange(6), 6, training=False))
    images = data.test.images
    found = darts.load(tmp_path).predict(images)
    assert len(found) == len(targets) == len(images)
    if shape.target == "mask":
        assert found.shape == targets.shape and (found == model(images.float()).argmax(1).numpy()).all()
    else:
        assert all(boxes.shape[1] == 6 for boxes in found)
