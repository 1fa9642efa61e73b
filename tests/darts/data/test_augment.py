"""Batched augmentation against its definition, image by image."""

import pytest
import torch
import torch.nn.functional as F

from darts.data.augment import Augmentation, Draws, cropped, draw, normalized
from darts.data.resident import batch_of


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_crop_flip(images, padding, flip, generator):
    draws = draw(Augmentation(padding, flip), len(images), *images.shape[2:], generator)
    return cropped(images, torch.arange(len(images)), draws)


def augment(images, policy, mean, std, generator):
    draws = draw(policy, len(images), *images.shape[2:], generator) if policy else Draws()
    return normalized(cropped(images, torch.arange(len(images)), draws), draws, mean, std)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (5, 7)])
def test_crop_and_flip_one_image_at_a_time(size, flip):
    padding, b = 3, 16
    images = torch.randint(0, 256, (b, 3, *size), dtype=torch.uint8)
    batch = random_crop_flip(images, padding, flip, generator())
    drawn = generator()
    top, left = torch.randint(0, 2 * padding + 1, (2, b, 1), generator=drawn)
    mirrored = torch.rand(b, 1, generator=drawn) < 0.5 if flip else torch.zeros(b, 1, dtype=torch.bool)
    h, w = size
    for index in range(b):
        y, x = top[index].item(), left[index].item()
        expected = F.pad(images[index], (padding,) * 4)[:, y : y + h, x : x + w]
        expected = expected.flip(2) if mirrored[index] else expected
        assert torch.equal(batch[index], expected)
    assert batch.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [(8, 8), (5, 7)])
@pytest.mark.parametrize("side", [1, 2, 4, 16])
def test_cutout_one_image_at_a_time(size, side):
    images = torch.randn(32, 3, *size)
    draws = draw(Augmentation(cutout=side), 32, *size, generator())
    batch = normalized(images, draws, torch.zeros(3), torch.ones(3))
    drawn = generator()
    h, w = size
    rows, columns = (torch.randint(0, length, (32, 1), generator=drawn) for length in (h, w))
    for index in range(32):
        y, x = rows[index].item(), columns[index].item()
        expected = images[index].clone()
        half = side // 2
        expected[:, max(0, y - half) : min(h, y + half), max(0, x - half) : min(w, x + half)] = 0
        assert torch.equal(batch[index], expected)


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_cutout_may_rise(progress):
    images, policy = torch.ones(4000, 1, 8, 8), Augmentation(cutout=4, rising=True)
    draws = draw(policy, 4000, 8, 8, generator(), torch.tensor(progress))
    cut = (normalized(images, draws, torch.zeros(1), torch.ones(1)) == 0).any((1, 2, 3)).double()
    assert cut.mean().item() == pytest.approx(progress, abs=0.04)
    assert progress not in (0.0, 1.0) or cut.mean() == progress


def test_every_offset_and_both_directions_occur():
    images = torch.arange(49.0).reshape(1, 1, 7, 7).expand(2000, 1, 7, 7) + 1
    batch = random_crop_flip(images, 2, True, generator())
    assert len(torch.unique(batch.flatten(1), dim=0)) == 5 * 5 * 2


def test_evaluation_only_normalizes():
    images = torch.randint(0, 256, (4, 2, 6, 6), dtype=torch.uint8)
    mean, std = torch.tensor([100.0, 120.0]), torch.tensor([50.0, 60.0])
    expected = (images.float() - mean.view(2, 1, 1)) / std.view(2, 1, 1)
    torch.testing.assert_close(augment(images, None, mean, std, None), expected)
    torch.testing.assert_close(augment(images, Augmentation(), mean, std, generator()), expected)


def test_padding_is_black_before_and_cutout_is_the_mean_after_normalization():
    images = torch.full((64, 1, 4, 4), 200, dtype=torch.uint8)
    mean, std = torch.tensor([100.0]), torch.tensor([50.0])
    batch = augment(images, Augmentation(crop_padding=4, cutout=2), mean, std, generator())
    assert set(batch.unique().tolist()) == {-2.0, 0.0, 2.0}


def test_a_share_of_a_batch_is_augmented_as_in_the_whole():
    images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8)
    indices, share = torch.randperm(40, generator=generator())[:12], torch.tensor([4, 5, 6, 0])
    draws = draw(Augmentation(2, True, 4), 12, 8, 8, generator())
    mean, std = torch.full((3,), 100.0), torch.full((3,), 50.0)
    whole = normalized(cropped(images, indices, draws), draws, mean, std)
    part = normalized(cropped(images, indices[share], draws.of(share)), draws.of(share), mean, std)
    assert torch.equal(part, whole[share])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("padding", [0, 2])
def test_convolutions_of_a_batch_are_channels_last(channels, padding):
    """Also of images of one channel, whose values lie in memory as they do channels-first."""
    images = torch.randint(0, 256, (4, channels, 6, 6), dtype=torch.uint8)
    draws = draw(Augmentation(padding), len(images), 6, 6, generator())
    batch = batch_of(images, torch.arange(4), draws, torch.zeros(channels), torch.ones(channels))
    found = torch.nn.Conv2d(channels, 8, 3)(batch)
    assert found.is_contiguous(memory_format=torch.channels_last)
