"""The registry of data sets: complete, and one row for each."""

from pathlib import Path
from typing import get_args

import numpy as np
import torch

from darts.config import DataConfig
from darts.config.data import DataName
from darts.data import readers, registry
from darts.data.dataset import Arrays
from darts.data.readers import READERS, Reader
from darts.data.registry import DATA_SETS, open_data

CPU = torch.device("cpu")


def test_the_command_line_offers_every_data_set():
    assert set(get_args(DataName)) == set(DATA_SETS) >= set(READERS)


def stripes(root: Path, download: bool) -> Arrays:
    """A reader as a contributor writes it."""
    images = np.zeros((10, 1, 4, 4), np.uint8)
    images[::2, :, ::2], images[1::2, :, :, ::2] = 255, 255
    return Arrays(images[:8], np.arange(8) % 2, images[8:], np.arange(2))


def test_a_reader_and_a_row_are_a_data_set(monkeypatch):
    monkeypatch.setitem(readers.READERS, "stripes", Reader(stripes, needs_root=False))
    monkeypatch.setitem(registry.DATA_SETS, "stripes", DATA_SETS["digits"])
    data = open_data(DataConfig(name="stripes"), CPU, seed=0)
    assert (len(data.train), len(data.test), data.shape.classes) == (8, 2, 2)
    images, labels = next(data.train.batches(torch.arange(8), 4, training=False))
    assert images.shape == (4, 1, 4, 4) and labels.tolist() == [0, 1, 0, 1]


def test_the_readme_names_every_file_and_data_set():
    folder = Path(registry.__file__).parent
    text = (folder / "README.md").read_text()
    files = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert not [name for name in (*DATA_SETS, *files) if f"`{name}`" not in text]
