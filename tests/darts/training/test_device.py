"""The device of a run, by stand-ins for the parts of ``torch.cuda`` that need a GPU."""

import pytest
import torch

from darts.config import RunConfig
from darts.training.device import choose_device


@pytest.fixture
def one_gpu(monkeypatch):
    """A machine whose current GPU is number 1, as far as ``choose_device`` asks; returns the GPUs that were set."""
    chosen, empty = [], torch.empty
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch._C, "_cuda_setDevice", chosen.append, raising=False)
    monkeypatch.setattr(torch, "empty", lambda *size, device=None: empty(*size, device="meta"))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    return chosen


@pytest.mark.parametrize(("name", "index"), [("auto", 1), ("cuda", 1), ("cuda:0", 0)])
def test_a_gpu_has_an_index(one_gpu, name, index):
    """``torch.cuda.set_device`` and the memory limit refuse a device without one."""
    device = choose_device(RunConfig(device=name))
    assert device == torch.device("cuda", index) and one_gpu == [index]
