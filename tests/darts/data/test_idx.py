"""The IDX files of MNIST and Fashion-MNIST: compressed or not, in torchvision's folder or flat."""

import gzip

import numpy as np
import pytest
import torch

from darts.config import DataConfig
from darts.data.idx import FILES
from darts.data.registry import open_data
from darts.errors import UserError

CPU = torch.device("cpu")


def idx(values):
    head = bytes((0, 0, 8, values.ndim)) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return head + values.astype(np.uint8).tobytes()


def write(folder, end="", name="{}-idx{}-ubyte"):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for file in FILES:
        count = 20 if file.startswith("train") else 10
        values = rng.integers(0, 256, (count, 28, 28)) if "images" in file else np.arange(count) % 10
        content = idx(values)
        path = folder / (name.format(file, values.ndim) + end)
        path.write_bytes(gzip.compress(content) if end else content)


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("place", ["", "raw", "FashionMNIST/raw", "FashionMNIST"])
@pytest.mark.parametrize("name", ["{}-idx{}-ubyte", "{}.idx{}-ubyte"])
def test_files_are_found(tmp_path, end, place, name):
    write(tmp_path / place, end, name)
    data = open_data(DataConfig("fashion_mnist", tmp_path), CPU, seed=0)
    assert (len(data.train), len(data.test)) == (20, 10) and data.classes[0] == "T-shirt/top"
    assert data.train.images.shape == (20, 1, 28, 28) and data.train.labels.tolist() == [*range(10)] * 2


def test_a_message_names_the_files_and_does_not_advise_what_has_failed(tmp_path, monkeypatch):
    import torchvision.datasets

    def fails(*arguments, **options):
        raise RuntimeError("no network\nat all")

    monkeypatch.setattr(torchvision.datasets, "MNIST", fails)
    for download in (False, True):
        with pytest.raises(UserError, match="train-images-idx3-ubyte, .*t10k-labels-idx1-ubyte") as error:
            open_data(DataConfig("mnist", tmp_path, download=download), CPU, seed=0)
        assert ("`data.download`" in str(error.value)) != download and "\n" not in str(error.value)
        assert ("no network at all" in str(error.value)) == download


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn"])
def test_other_sets_name_their_files_too(tmp_path, name):
    files = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary", "svhn": "train_32x32.mat"}
    with pytest.raises(UserError, match=f"looked for .*{files[name]}"):
        open_data(DataConfig(name, tmp_path), CPU, seed=0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-9], "values instead of"),
        (lambda content: b"\1" + content[1:], "not an IDX file"),
        (lambda content: content[:3], "not an IDX file"),
        (lambda content: gzip.compress(content)[:-9], "not readable"),
        (lambda content: content[:-1] + b"\x0b", "not the labels of"),
        (lambda content: idx(np.zeros(19)), "not the labels of"),
    ],
)
def test_damaged_files_are_named(tmp_path, damage, message):
    write(tmp_path)
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=f"train-labels-idx1-ubyte: .*{message}"):
        open_data(DataConfig("mnist", tmp_path), CPU, seed=0)
