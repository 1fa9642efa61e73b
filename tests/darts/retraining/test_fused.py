"""When a training computes its layers by fused kernels."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from darts.errors import UserError
from darts.recipes.registry import FINAL_RECIPES
from darts.training import device as devices
from darts.training.device import fused_layers
from supernet.ops import ReLUConvBN

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def test_by_default_on_a_cpu_where_there_are_such_layers(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    config, network = FINAL_RECIPES["digits"](), nn.Sequential(ReLUConvBN(2, 2))
    asked = []
    monkeypatch.setattr(devices, "layers_usable", lambda device: not asked.append(device))
    assert config.fused == "auto" and fused_layers(config, CPU, network)
    assert not fused_layers(config, GPU, network)
    other = nn.Linear(2, 2)
    other.kernels = nn.Parameter(torch.ones(3))  # a layer's own, as those of lightweight convolutions
    assert not fused_layers(config, CPU, other)
    assert not fused_layers(replace(config, compile=True), CPU, network)
    assert not fused_layers(replace(config, run=replace(config.run, precision="bfloat16")), CPU, network)
    assert not fused_layers(replace(config, run=replace(config.run, sync_batchnorm=True)), CPU, network)
    assert asked == [CPU]


def test_as_it_is_asked_for(monkeypatch):
    config, network = FINAL_RECIPES["digits"](), nn.Sequential(ReLUConvBN(2, 2))
    assert not fused_layers(replace(config, fused=False), CPU, network)
    monkeypatch.setattr(devices, "unavailable", lambda device: None)
    assert fused_layers(replace(config, fused=True), CPU, network)
    monkeypatch.setattr(devices, "unavailable", lambda device: "there is no C++ compiler (c++)")
    with pytest.raises(UserError, match=r"`fused` cannot be used: there is no C\+\+ compiler"):
        fused_layers(replace(config, fused=True), CPU, network)
