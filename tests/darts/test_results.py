"""Runs of ``darts.search`` and ``darts.retrain``: the files that they write, and what is loaded from them."""

import pytest
import torch
from torch import nn

import darts
import genotypes
from darts.artifacts.run_config import load_search_config
from darts.artifacts.run_record import read_record
from darts.errors import UserError
from supernet.errors import SpaceError
from supernet.layer_choice import LayerChoice

SHORT = dict(epochs=2, batch_size=32, device="cpu", verbose=False)
FILES = {"config.json", "genotype.json", "report.html", "metrics.json", "log.jsonl", "cells.svg", "checkpoints"}


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.layer = LayerChoice({"linear": nn.Linear(4, width), "plain": nn.Linear(4, width, bias=False)}, "layer")
        self.norm, self.head = nn.BatchNorm1d(width), nn.Linear(width, 2)

    def forward(self, x):
        return self.head(self.norm(self.layer(x)).relu())


def examples():
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished search and a training of its result: the folder, the model, the result, the trained network."""
    folder = tmp_path_factory.mktemp("runs")
    model = Net()
    result = darts.search(model, examples(), run=folder / "search", **SHORT)
    network = result.network()
    darts.retrain(network, examples(), test=examples(), run=folder / "search-trained", **SHORT)
    return folder, model, result, network.eval()


def test_a_run_has_the_files_of_the_command_line(runs):
    folder = runs[0]
    searched, trained = ({path.name for path in (folder / name).iterdir()} for name in ("search", "search-trained"))
    assert searched >= FILES | {"genotypes.json", "gates.svg"} and trained >= FILES | {"weights.pt"}
    record = read_record(folder / "search-trained")
    assert record.finished and record.figures["test_accuracy"] >= 0 and record.config["data.name"] == "own"
    assert "weights.lr" in record.config and "method.name" not in record.config


def test_a_search_is_loaded(runs):
    folder, model, result, _ = runs
    loaded = darts.load(folder / "search", model)
    assert loaded.genotype == result.genotype and loaded.figures == result.figures
    x, _ = examples()
    expected, found = (each.network(inherit=True).eval()(x) for each in (result, loaded))
    assert torch.equal(expected, found)


@pytest.mark.parametrize("given", ["the model with choices", "the network"])
def test_a_training_is_loaded(runs, given):
    folder, model, result, network = runs
    x, _ = examples()
    loaded = darts.load(
        str(folder / "search-trained"), model if given == "the model with choices" else result.network()
    )
    assert torch.equal(loaded(x), network(x)) and not loaded.training


@pytest.mark.parametrize(
    "file",
    ["search", "search@1", "search/genotypes.json", "search/log.jsonl", "search/metrics.json", "search-trained",
     "search-trained/genotype.json", "search-trained/metrics.json"],
)  # fmt: skip
def test_genotypes_are_loaded_from_every_file(runs, file):
    folder, *_ = runs
    assert set(genotypes.load(str(folder / file))["layer"]) < {"linear", "plain"}


def test_wrong_folders_and_models_are_refused(runs, tmp_path):
    folder, *_ = runs
    for path, model, error, message in (
        (tmp_path, Net(), UserError, "no run of darts.search"),
        (folder / "search", Net(9), UserError, "its search was in another model"),
        (folder / "search-trained", Net(9), UserError, "weights are of another network"),
        (folder / "search-trained", nn.Linear(4, 2), UserError, "weights are of another network"),
    ):
        with pytest.raises(error, match=message):
            darts.load(path, model)
    with pytest.raises(UserError, match="a search in a model of your own"):
        load_search_config(folder / "search")


def test_an_unfinished_run_is_refused(runs, tmp_path):
    folder, model, *_ = runs
    for name, file in (("search", "genotype.json"), ("search-trained", "weights.pt")):
        copy = tmp_path / name
        copy.mkdir()
        for path in (folder / name).glob("*.json"):
            if path.name != file:
                (copy / path.name).write_bytes(path.read_bytes())
        with pytest.raises(UserError, match="not finished; continue it by darts"):
            darts.load(copy, model)


def test_a_genotype_of_another_model_is_refused(runs, tmp_path):
    class Other(Net):
        def __init__(self):
            super().__init__()
            self.layer.label = "other"

    folder, *_ = runs
    with pytest.raises(SpaceError):
        darts.load(folder / "search-trained", Other())


def test_a_search_by_trials_is_loaded(tmp_path):
    torch.manual_seed(0)
    model = Net()
    result = darts.search(model, examples(), method="random", trials=2, run=tmp_path / "run", **SHORT)
    loaded = darts.load(tmp_path / "run", model)
    assert loaded.genotype == result.genotype and loaded.figures == result.figures
    x, _ = examples()
    expected, found = (each.network(inherit=True).eval()(x) for each in (result, loaded))
    assert torch.equal(expected, found)
    with pytest.raises(UserError, match="its weights are not those of `model`"):
        darts.load(tmp_path / "run", Net(width=4))


@pytest.mark.parametrize("method", ["darts", "random", None])
def test_a_run_that_cannot_be_written_is_one_line(method):
    with pytest.raises(UserError, match="^`run` is /proc/x: .*; give a folder that can be written$"):
        if method is None:
            darts.fit(*examples(), trials=1, run="/proc/x")
        else:
            darts.search(Net(), examples(), method=method, run="/proc/x", **SHORT)
