"""The line that says what was found, and what of it is kept for whoever applies the network."""

import numpy as np
import pytest
import torch
from PIL import Image

from darts.config import DataConfig
from darts.data.registry import open_data
from darts.data.summary import summary

CPU = torch.device("cpu")


def opened(name, root, **options):
    return open_data(DataConfig(name, root, **options), CPU, seed=0)


@pytest.mark.parametrize("name", ["folder", "imagenet"])
def test_a_folder(tmp_path, name):
    for label, count in (("cat", 8), ("dog", 5), ("owl", 1)):
        (tmp_path / label).mkdir()
        for index in range(count):
            Image.new("RGB", (20, 10), (index, 0, 0)).save(tmp_path / label / f"{index}.png")
    data = opened(name, tmp_path, workers=0)
    line = summary(data)
    assert line.startswith(f"data {name}: 11 training, 3 test images of 10x10, 3 channels; ")
    assert "3 classes (cat 8, dog 5, owl 1); a fifth held out for testing, by class; " in line
    assert "too few examples: owl (1 training, 0 test)" in line and "\n" not in line
    kept = data.metadata()
    assert kept["classes"] == ["cat", "dog", "owl"] and kept["preprocessing"]["centre_crop"] == 10
    assert kept["preprocessing"]["resize_shorter_side"] == (10 if name == "folder" else 11)


def test_arrays_of_many_classes(tmp_path):
    np.savez(tmp_path / "set.npz", images=np.zeros((300, 4, 4), np.uint8), labels=np.arange(300) // 10)
    assert "30 classes (from 29 10 to 0 10 examples)" in summary(opened("npz", tmp_path / "set.npz"))


def test_a_limit(tmp_path):
    data = opened("digits", None, limit=50)
    assert (len(data.train), len(data.test)) == (50, 50) and np.bincount(data.train.labels).min() >= 4
    assert "50 training, 50 test images of 8x8, 1 channel; 10 classes (0 " in summary(data)


def test_text(tmp_path):
    (tmp_path / "a.txt").write_text("one two three. " * 100)
    assert "tokens, vocabulary of" in summary(opened("text", tmp_path / "a.txt"))
    limited = opened("text", tmp_path / "a.txt", limit=30)
    assert len(limited.train) - limited.valid == len(limited.test) == limited.valid == 30
    (tmp_path / "a.csv").write_text(
        "".join(f"it is {word} {k},{word}\n" for k in range(20) for word in ("good", "bad"))
    )
    assert "2 classes (bad 20, good 20)" in summary(opened("csv", tmp_path / "a.csv"))
    assert len(opened("csv", tmp_path / "a.csv", limit=6).train) == 6
