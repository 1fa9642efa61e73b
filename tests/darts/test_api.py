"""Searching and training in a network of one's own, from Python: any data, any loss."""

import inspect
import pydoc
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import darts
from darts.config import LogitsConfig, WeightsConfig
from darts.errors import UserError
from genotypes import read, write
from supernet.errors import SpaceError
from supernet.layer_choice import InputChoice, LayerChoice, choices
from tests.scripts import ROOT

SHORT = dict(epochs=2, batch_size=16, device="cpu", verbose=False)


class Parabola(nn.Module):
    """Regression: the answer is a square, so the choice of the squared input is right."""

    def __init__(self):
        super().__init__()
        self.pick = InputChoice(["x", "square", "cube"], "power")
        self.head = nn.Linear(1, 1)

    def forward(self, x):
        return self.head(self.pick(x, x**2, x**3))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = LayerChoice({"linear": nn.Linear(4, 8), "nothing": nn.Linear(4, 8, bias=False)}, "layer")
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.layer(x).relu())


def points():
    x = torch.linspace(-1, 1, 256)[torch.randperm(256, generator=torch.Generator().manual_seed(0))][:, None]
    return x, x**2


def squared_error(network, batch):
    x, y = batch
    return F.mse_loss(network(x), y)


def labelled(count=64):
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(1))
    return x, (x[:, 0] > 0).long()


def test_regression_finds_the_square():
    options = dict(loss=squared_error, weights=WeightsConfig(lr=0.1), logits=LogitsConfig(lr=0.05))
    result = darts.search(Parabola(), points(), epochs=12, batch_size=16, device="cpu", verbose=False, **options)
    assert result.genotype["power"] == ("square",)
    assert read(write(result.genotype)) == result.genotype
    network = result.network()
    figures = darts.retrain(network, points(), test=points(), epochs=15, batch_size=16, loss=squared_error,
                            weights=WeightsConfig(lr=0.1, lr_min=0.0), device="cpu", verbose=False)  # fmt: skip
    assert not list(choices(network)) and figures["test_loss"] < 1e-3


def test_searched_weights_are_handed_over_on_request():
    model = Classifier()
    result = darts.search(model, labelled(), **SHORT)
    chosen = result.genotype["layer"][0]
    index = model.layer.names.index(chosen)
    before, searched = model.layer.candidates[index].weight, result.supernet.model.layer.candidates[index].weight
    assert torch.equal(result.network().layer.weight, before)
    assert torch.equal(result.network(inherit=True).layer.weight, searched) and not torch.equal(before, searched)


def test_any_form_of_data():
    x, y = labelled()
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    batches = [{"x": a, "y": b} for a, b in loader]
    for data, loss in (
        ((x, y), None),
        (TensorDataset(x, y), None),
        (loader, None),
        (batches, lambda network, batch: F.cross_entropy(network(batch["x"]), batch["y"])),
    ):
        result = darts.search(Classifier(), data, loss=loss, **SHORT)
        assert set(result.genotype["layer"]) < {"linear", "nothing"}


def test_an_interrupted_search_goes_on_where_it_stopped(tmp_path):
    torch.manual_seed(0)
    model = Classifier()
    whole = darts.search(model, labelled(), **SHORT)
    darts.search(model, labelled(), run=tmp_path, **SHORT)
    (tmp_path / "checkpoints" / "step_000000004.pt").unlink()
    again = darts.search(model, labelled(), run=tmp_path, **SHORT)
    assert again.figures == whole.figures and (tmp_path / "log.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(data=iter(())), UserError, "`data` is a .*; accepted are"),
        (dict(data=(torch.ones(8, 5), torch.zeros(8).long())), SpaceError, "the model fails on a batch: RuntimeError"),
        (dict(data=labelled(), method="dart"), UserError, "`method` is 'dart'"),
        (dict(data=labelled(), method="pc_darts"), SpaceError, "partial channels"),
        (dict(data=labelled(), method="oles"), UserError, "stopping of operations"),
        (dict(data=labelled(), epochs=0), UserError, "`epochs` is 0"),
        (dict(data=labelled(), model=nn.Linear(4, 2)), SpaceError, "holds no LayerChoice"),
    ],
)
def test_wrong_use(arguments, error, message):
    with pytest.raises(error, match=message):
        darts.search(**{"model": Classifier(), **SHORT, **arguments})


def test_the_package_imports_in_a_moment():
    code = "import darts, sys; assert 'torch' not in sys.modules; darts.search; assert callable(darts.search)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("function", [darts.search, darts.retrain])
def test_help_shows_every_argument(function):
    shown = pydoc.render_doc(function, renderer=pydoc.plaintext)
    assert inspect.isfunction(function)
    for name in inspect.signature(function).parameters:
        assert shown.count(name) > 1, f"{name} is in the signature and in the description"
