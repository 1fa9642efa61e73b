"""Retraining: what becomes of examples that fill no batch."""

import numpy as np
import pytest
import torch

import genotypes
from darts.config import RetrainConfig, SpaceConfig, check
from darts.data.augment import Augmentation
from darts.data.dataset import Arrays
from darts.data.resident import resident
from darts.errors import UserError
from darts.retraining.task import RetrainTask

CPU = torch.device("cpu")


@pytest.mark.parametrize(("count", "sizes"), [(9, [4, 4]), (10, [4, 4, 2]), (8, [4, 4])])
def test_one_image_is_no_batch(count, sizes):
    images = np.random.default_rng(0).integers(0, 256, (count, 1, 8, 8), np.uint8)
    arrays = Arrays(images, np.arange(count) % 2, images[:4], np.arange(4) % 2)
    data = resident("tiny", arrays, Augmentation(0, False, 0), torch.Generator().manual_seed(0))
    config = RetrainConfig(space=SpaceConfig(2, 3), batch_size=4, epochs=1)
    task = RetrainTask(config, genotypes.load("DARTS_V2"), data, CPU)
    assert task.steps_per_epoch == len(sizes)
    task.begin_epoch(0, 0)
    assert [int(task.step()["images"]) for _ in range(task.steps_per_epoch)] == sizes


def test_a_batch_of_one_is_refused():
    with pytest.raises(UserError, match="`batch_size` is 1"):
        check(RetrainConfig(batch_size=1))
