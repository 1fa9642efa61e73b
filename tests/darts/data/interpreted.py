"""Cases for Triton's interpreter; ``test_augment_kernel`` runs this file in a process where it is chosen."""

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from darts.data import augment_kernel
from darts.data import resident as resident_module
from darts.data.augment import Augmentation, Draws, draw
from darts.data.augment_kernel import read_batch
from darts.data.dataset import Arrays
from darts.data.resident import batch_of, resident


@settings(max_examples=30, deadline=None, phases=[Phase.generate])  # the interpreter is too slow to shrink
@given(
    policy=st.none() | st.builds(Augmentation, st.integers(0, 9), st.booleans(), st.integers(0, 9), st.booleans()),
    channels=st.sampled_from([1, 2, 3, 5]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    batch=st.integers(1, 70),
    raw=st.sampled_from([torch.uint8, torch.int32, torch.float64]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    stored_last=st.booleans(),
    channels_last=st.booleans(),
    seed=st.integers(0, 9),
)
def test_the_same_bits(policy, channels, size, batch, raw, dtype, stored_last, channels_last, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (20, channels, *size), generator=generator).to(raw)
    if stored_last:
        images = images.contiguous(memory_format=torch.channels_last)
    indices = torch.randint(0, 20, (batch,), generator=generator)
    mean, std = (255 * torch.rand(2, channels, generator=generator, dtype=dtype) + 1).unbind(0)
    draws = draw(policy, batch, *size, generator, progress=0.5) if policy else Draws()
    given = images, indices, draws, mean, std, channels_last
    expected, found = batch_of(*given), read_batch(*given)
    assert found.equal(expected) and found.dtype == dtype
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert found.is_contiguous(memory_format=layout)
    share = torch.randperm(batch, generator=generator)[: batch // 2 + 1]
    part = read_batch(images, indices[share], draws.of(share), mean, std, channels_last)
    assert part.equal(expected[share])


def test_a_data_set_reads_its_batches_by_it(monkeypatch):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 3, 8, 8), np.uint8), np.arange(40) % 3
    batches = []
    for how in (batch_of, read_batch):
        monkeypatch.setattr(resident_module, "batch_of", how)
        arrays = Arrays(images[:30], labels[:30], images[30:], labels[30:])
        data = resident("small", arrays, Augmentation(2, True, 4), torch.Generator().manual_seed(0))
        training = [batch for _ in range(2) for batch in data.train.batches(torch.arange(30), 8, True)]
        batches.append([*training, *data.test.batches(torch.arange(10), 4, False)])
    for (ours, labels), (theirs, same) in zip(*batches, strict=True):
        assert torch.equal(ours, theirs) and torch.equal(labels, same)
    assert not torch.equal(batches[1][0][0], batches[1][4][0]), "each epoch draws anew"


@pytest.mark.parametrize("batch", [1, 96])
def test_one_launch(batch, monkeypatch):
    grids = []
    monkeypatch.setattr(augment_kernel, "launch", lambda kernel, grid, *arguments, **constants: grids.append(grid))
    draws = draw(Augmentation(4, True, 16), batch, 32, 32, torch.Generator())
    moments = torch.ones(3), torch.ones(3)
    read_batch(torch.zeros(9, 3, 32, 32, dtype=torch.uint8), torch.zeros(batch).long(), draws, *moments, True)
    assert grids == [(3 * batch * 1024 // 512,)]
