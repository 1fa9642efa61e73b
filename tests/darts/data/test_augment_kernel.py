"""The kernel that reads batches: by Triton's interpreter equal to its definition, compiled for GPUs without one."""

from pathlib import Path

import pytest
import torch

from darts.data.augment import Augmentation, Draws, draw
from darts.data.resident import ResidentImages, batch_of
from tests import interpreter

pytest.importorskip("triton")


def test_interpreted():
    interpreter.passes(Path(__file__).with_name("interpreted.py"))


@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("policy", [None, Augmentation(4, True, 16)])
def test_compiled_nothing_spills(arch, dtype, channels_last, policy):
    resources = pytest.importorskip("supernet.fused.resources")
    from darts.data.augment_kernel import read_batch
    from supernet.fused.launch import recorded

    draws = draw(policy, 96, 32, 32, torch.Generator()) if policy else Draws()
    moments = torch.ones(3, dtype=dtype), torch.ones(3, dtype=dtype)
    with recorded() as launches:
        read_batch(torch.empty(9, 3, 32, 32, dtype=torch.uint8), torch.zeros(96).long(), draws, *moments, channels_last)
    (found,) = [resources.usage(launch, arch) for launch in launches]
    assert not found.spilled and found.registers <= 64, "32 warps a multiprocessor, so that loads hide one another"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels_last", [True, False])
def test_on_a_gpu_the_same_bits(dtype, channels_last):
    images = torch.randint(0, 256, (500, 3, 32, 32), dtype=torch.uint8)
    indices, moments = torch.randint(0, 500, (97,)), (128 * torch.rand(2, 3, dtype=dtype) + 1).unbind(0)
    for policy in (Augmentation(), Augmentation(4), Augmentation(0, True), Augmentation(4, True, 16)):
        draws = draw(policy, 97, 32, 32, torch.Generator())
        expected = batch_of(images, indices, draws, *moments, channels_last)
        there = [None if part is None else part.cuda() for part in list(vars(draws).values())[:5]]
        given = images.cuda(), indices.cuda(), Draws(*there, draws.side), *(m.cuda() for m in moments)
        found = batch_of(*given, channels_last)
        assert torch.equal(found.cpu(), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_captured_batch_is_drawn_anew_at_every_replay():
    device = torch.device("cuda")
    images = torch.randint(0, 256, (500, 3, 32, 32), dtype=torch.uint8, device=device)
    labels, moments = torch.arange(500, device=device) % 10, torch.ones(2, 3, device=device).unbind(0)
    batches, progress = [], torch.zeros((), device=device)
    for captured in (False, True):
        generator = torch.Generator(device).manual_seed(0)
        data = ResidentImages(images, labels, *moments, Augmentation(4, True, 16), generator, progress)
        indices = torch.arange(64, device=device)
        seen = [data.load(indices, training=True)[0] for _ in range(6 - 3 * captured)]
        if captured:
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(generator)
            with torch.cuda.graph(graph):
                batch, _ = data.load(indices, training=True)
            for _ in range(3):
                graph.replay()
                seen.append(batch.clone())
        batches.append(seen)
    assert not torch.equal(batches[1][-1], batches[1][-2])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*batches, strict=True))
