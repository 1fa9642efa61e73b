"""What tutorials show, on real data: MNIST from the folder that ``DATA_ROOT`` names."""

import os
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import darts
from darts.data.readers import mnist as read_mnist
from supernet.layer_choice import LayerChoice

ROOT = os.environ.get("DATA_ROOT")
LONG = pytest.mark.skipif(
    not ROOT or not os.environ.get("LONG_TESTS"), reason="DATA_ROOT has no MNIST, or LONG_TESTS is not set"
)


def mnist(train, count):
    """Return the first images of a split, ``(n, 1, 28, 28)``, and their labels."""
    arrays = read_mnist(Path(ROOT), False)
    images, labels = (arrays.train_images, arrays.train_labels) if train else (arrays.test_images, arrays.test_labels)
    return torch.from_numpy(images[:count]).float() / 255, torch.from_numpy(labels[:count]).long()


def accuracy(network, data):
    images, labels = data
    with torch.no_grad():
        found = torch.cat([network.eval()(part).argmax(1) for part in images.split(1000)])
    return (found == labels).float().mean().item()


def build(trial):
    """A convolution, a pooling, a dense layer, dropout: filters, kernel, units, rate and learning rate are searched."""
    network = nn.Sequential(
        nn.Conv2d(1, trial.suggest_int("filters", 32, 128, step=32), trial.suggest_categorical("kernel", [3, 5])),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.LazyLinear(trial.suggest_int("units", 32, 128, step=32)),
        nn.ReLU(),
        nn.Dropout(trial.suggest_float("dropout", 0.1, 0.5, step=0.1)),
        nn.LazyLinear(10),
    )
    return network, torch.optim.Adam(network.parameters(), lr=trial.suggest_categorical("lr", [1e-2, 1e-3]))


@LONG
def test_random_search_by_a_tuner(tmp_path):
    study = darts.tune(
        build, mnist(True, 60_000), strategy="random", trials=5, executions_per_trial=3, epochs=5, run=tmp_path
    )
    assert accuracy(study.best_model(), mnist(False, 10_000)) >= 0.985


class Choices(nn.Module):
    """Convolutions of 64 or 128 filters, dense layers of 128 or 256 units."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = LayerChoice([nn.Conv2d(32, 64, 3), nn.Conv2d(32, 128, 3)], label="conv2")
        self.dense = LayerChoice([nn.LazyLinear(128), nn.LazyLinear(256)], label="dense")
        self.head = nn.LazyLinear(10)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.conv2(self.conv1(x)).relu(), 2).flatten(1)
        return self.head(self.dense(x).relu())


@LONG
def test_layer_choices_in_a_module():
    result = darts.search(Choices(), mnist(True, 10_000), method="evolution", trials=4, epochs=2, batch_size=64)
    assert accuracy(result.network(inherit=True), mnist(False, 10_000)) > 0.95


@LONG
def test_data_in_model_out():
    images, labels = mnist(True, 10_000)
    began = time.monotonic()
    model = darts.fit(images, labels, budget="5m", device="cpu")
    assert time.monotonic() - began < 330
    assert model.score(*mnist(False, 10_000)) > 0.97


def test_layer_choices_of_unequal_shapes_are_refused_by_a_supernet_in_one_line():
    data = torch.randn(40, 1, 8, 8), torch.arange(40) % 10
    with pytest.raises(Exception, match=r"LayerChoice 'conv2'.*different shapes") as raised:
        darts.search(Choices(), data, method="darts", epochs=1, verbose=False)
    assert "\n" not in str(raised.value)


def test_the_loop(tmp_path):
    """Define, search, train, evaluate, save; with early stopping, and a start from searched weights."""
    data = torch.randn(60, 1, 8, 8), torch.arange(60) % 2
    result = darts.search(Choices(), data, method="random", trials=2, epochs=2, patience=1, verbose=False, device="cpu")
    network = result.network(inherit=True)
    darts.retrain(network, data, test=data, epochs=1, run=tmp_path / "run", device="cpu", verbose=False)
    loaded = darts.load(tmp_path / "run", network)
    assert torch.equal(loaded(data[0]), network.eval()(data[0]))
