"""What articles and tutorials show, as scripts on real data: always on the digits; with ``DATA_ROOT`` on MNIST.

The searches on MNIST take minutes: they run where ``LONG_TESTS`` is set too.
"""

import os
import time
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import darts
from darts.config import WeightsConfig
from darts.data.readers import mnist as read_mnist
from supernet import LayerChoice, ValueChoice, layers
from tests.long import LONG_TESTS

ROOT = os.environ.get("DATA_ROOT")
ON_MNIST = pytest.mark.skipif(not ROOT or not LONG_TESTS, reason="DATA_ROOT has no MNIST, or LONG_TESTS is not set")
SHORT = dict(device="cpu", verbose=False)
FAST = WeightsConfig(lr=0.1, lr_min=0.0)


def mnist(train, count):
    """Return the first images of a split, ``(n, 1, 28, 28)``, and their labels."""
    arrays = read_mnist(Path(ROOT), False)
    images, labels = (arrays.train_images, arrays.train_labels) if train else (arrays.test_images, arrays.test_labels)
    return torch.from_numpy(images[:count]).float() / 255, torch.from_numpy(labels[:count]).long()


def digits(start, end):
    """Return some of scikit-learn's digits, ``(n, 1, 8, 8)``, and their labels."""
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images[start:end] / 16).float().view(-1, 1, 8, 8)
    return images, torch.tensor(labels[start:end])


TRAIN, TEST = (0, 600), (1400, 1797)


def accuracy(network, data):
    images, labels = data
    with torch.no_grad():
        found = torch.cat([network.eval()(part).argmax(1) for part in images.split(1000)])
    return (found == labels).float().mean().item()


# A tuner's random search: filters, kernel, dense units, dropout, learning rate.


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


@ON_MNIST
def test_random_search_by_a_tuner_on_mnist(tmp_path):
    study = darts.tune(
        build, mnist(True, 60_000), strategy="random", trials=5, executions_per_trial=3, epochs=5, run=tmp_path
    )
    found = accuracy(study.best_model(), mnist(False, 10_000))
    print(f"test accuracy {found:.4f}")
    assert found >= 0.985


def test_random_search_by_a_tuner_on_digits(tmp_path):
    study = darts.tune(build, digits(*TRAIN), strategy="random", trials=2, epochs=4, run=tmp_path / "results", **SHORT)
    assert accuracy(study.best_model(), digits(*TEST)) > 0.75
    assert {"filters", "kernel", "units", "dropout", "lr"} == set(study.best_params)
    assert (tmp_path / "results" / "study.journal").exists()


# Choices of layers in a module, whose sizes differ: by trials as they are, by gradients as choices of widths.


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


class Widths(nn.Module):
    """The same network, with widths that are chosen."""

    def __init__(self, side, filters=(64, 128), units=(128, 256)):
        super().__init__()
        width, dense = ValueChoice(filters, "conv2"), ValueChoice(units, "dense")
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = layers.Conv2d(32, width, 3)
        self.dense = layers.Linear(((side - 4) // 2) ** 2 * width, dense)
        self.head = layers.Linear(dense, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.conv2(self.conv1(x)).relu(), 2).flatten(1)
        return self.head(self.dense(x).relu())


@ON_MNIST
def test_layer_choices_in_a_module_on_mnist():
    result = darts.search(Choices(), mnist(True, 10_000), method="evolution", trials=4, epochs=2, batch_size=64)
    assert accuracy(result.network(inherit=True), mnist(False, 10_000)) > 0.95


@ON_MNIST
def test_choices_of_widths_by_gradients_on_mnist():
    data, settings = mnist(True, 10_000), {"epochs": 2, "batch_size": 64}
    network = darts.search(Widths(28), data, **settings).network()
    darts.retrain(network, data, weights=FAST, **settings)
    assert accuracy(network, mnist(False, 10_000)) > 0.95


def test_layer_choices_in_a_module_on_digits():
    settings = dict(epochs=3, batch_size=32, weights=FAST, **SHORT)
    result = darts.search(Choices(), digits(*TRAIN), method="evolution:population=2,sample=1", trials=2, **settings)
    assert accuracy(result.network(inherit=True), digits(*TEST)) > 0.6
    result = darts.search(Widths(8, (8, 16), (16, 32)), digits(0, 1400), **settings)
    network = result.network(inherit=True)
    assert network.conv2.out_channels == int(result.genotype["conv2"][0])
    assert accuracy(network, digits(*TEST)) > 0.3
    assert darts.retrain(result.network(), digits(*TRAIN), **settings)["train_accuracy"] > 0.3


def test_layer_choices_of_unequal_shapes_are_refused_by_a_supernet_in_one_line():
    with pytest.raises(Exception, match=r"LayerChoice 'conv2'.*different shapes") as raised:
        darts.search(Choices(), digits(0, 40), method="darts", epochs=1, **SHORT)
    assert "\n" not in str(raised.value)


# A list of layers, searched by a genetic algorithm.

LAYERS = [darts.Dense(64), darts.Dense(128), darts.Conv2d(32, 3)]


@ON_MNIST
def test_a_list_of_layers_by_a_genetic_algorithm_on_mnist():
    method = darts.Genetic(population=4, mutation_rate=0.1)
    result = darts.search(
        darts.Sequence(LAYERS, depth=(1, 3)), mnist(True, 10_000), method, validation_split=0.2, epochs=3, trials=8
    )
    assert accuracy(result.network(inherit=True), mnist(False, 10_000)) > 0.93


def test_a_list_of_layers_by_a_genetic_algorithm_on_digits():
    result = darts.search(
        darts.Sequence(LAYERS, depth=(1, 2)),
        digits(*TRAIN),
        method=darts.Genetic(population=2, mutation_rate=0.1, elite=1),
        validation_split=0.2,
        epochs=4,
        trials=3,
        batch_size=32,
        weights=FAST,
        **SHORT,
    )
    assert accuracy(result.network(inherit=True), digits(*TEST)) > 0.6


# Data in, trained model out.


@ON_MNIST
def test_data_in_model_out_on_mnist():
    images, labels = mnist(True, 10_000)
    began = time.monotonic()
    model = darts.fit(images, labels, budget="5m", device="cpu")
    assert time.monotonic() - began < 330
    assert model.score(*mnist(False, 10_000)) > 0.97


@pytest.mark.filterwarnings("ignore:too few data")
def test_data_in_model_out_on_digits(tmp_path):
    images, labels = digits(*TRAIN)
    model = darts.fit(images, labels, budget=None, trials=1, folds=1, epochs=4, **SHORT)
    loaded = darts.load(model.save(tmp_path / "model"))
    assert loaded.score(*digits(*TEST)) == model.score(*digits(*TEST)) > 0.6


# The loop: define, choose, train, evaluate, save; with early stopping and transfer to other data.


def test_the_loop(tmp_path):
    images, labels = digits(*TRAIN)
    low, high = (images[labels < 5], labels[labels < 5]), (images[labels > 4], labels[labels > 4] - 5)

    def model():
        width = ValueChoice([8, 16], "width")
        kernel = ValueChoice([1, 3], "kernel")
        stem = [layers.Conv2d(1, width, kernel, padding="same"), layers.BatchNorm2d(width), nn.ReLU()]
        return nn.Sequential(*stem, nn.AdaptiveAvgPool2d(4), nn.Flatten(), layers.Linear(16 * width, 5))

    settings = dict(batch_size=32, weights=FAST, **SHORT)
    result = darts.search(model(), low, method="random", trials=2, epochs=3, patience=1, **settings)
    network = result.network()
    figures = darts.retrain(network, low, validation_split=0.2, epochs=6, patience=2, run=tmp_path / "low", **settings)
    assert figures["valid_accuracy"] > 0.8 and figures["kept_epoch"] <= 6  # good: saved
    loaded = darts.load(tmp_path / "low", result.network())
    assert torch.equal(loaded(low[0]), network.eval()(low[0]))
    other = result.network()
    darts.retrain(other, high, start=tmp_path / "low", freeze=["0", "1"], epochs=4, **settings)
    assert torch.equal(other[0].weight, network[0].weight) and accuracy(other, high) > 0.6
