"""Zero-cost proxies by their definitions, on networks small enough to compute them by hand or by a slow form."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from darts.blackbox.proxies import PROXIES, Batch
from supernet.ops import BatchNorm


class Net(nn.Module):
    """Two convolutions with BatchNorm; ReLU as a function and in place, or as modules."""

    def __init__(self, functional=True, width=4):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, width, 3, padding=1, bias=False), BatchNorm(width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Linear(width, 3)
        self.act = nn.ModuleList([nn.ReLU(), nn.ReLU(inplace=True)])
        self.functional = functional

    def forward(self, x):
        x = self.norm(self.first(x))
        x = F.relu(x) if self.functional else self.act[0](x)
        x = self.second(x)
        x = x.relu_() if self.functional else self.act[1](x)
        return self.head(x.mean((2, 3)))


def made(seed=0, **options):
    torch.manual_seed(seed)
    return Net(**options)


def batch(count=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 1, 5, 5, generator=generator)
    return Batch(images, torch.arange(count) % 3, generator)


def weights(network):
    return [network.first.weight, network.second.weight, network.head.weight]


def grads(network, data):
    return torch.autograd.grad(F.cross_entropy(network(data.images), data.labels), weights(network), create_graph=True)


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_leaves_the_network_as_it_was(name):
    network, data = made(), batch()
    before = copy.deepcopy(network.state_dict())
    value = PROXIES[name](network, data)
    assert math.isfinite(value)
    for key, tensor in network.state_dict().items():
        if "running" not in key:
            assert tensor.dtype == before[key].dtype and torch.equal(tensor, before[key]), key
    assert network.training and all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())
    assert PROXIES[name](made(), batch()) == value, "equal seeds give equal figures"


def test_gradients_norms_and_products():
    network, data = made(), batch()
    found = grads(network, data)
    assert PROXIES["grad_norm"](network, data) == pytest.approx(sum(float(g.norm()) for g in found), rel=1e-5)
    products = sum(float((g * w).abs().sum()) for g, w in zip(found, weights(network)))
    assert PROXIES["snip"](network, data) == pytest.approx(products, rel=1e-5)


def test_grasp_is_minus_the_hessian_times_the_gradient_times_the_weights_and_keeps_its_sign():
    network, data = made(), batch()
    found = grads(network, data)
    steps = [g.detach() for g in found]
    products = torch.autograd.grad(found, weights(network), grad_outputs=steps)
    expected = -sum(float((p * w).sum()) for p, w in zip(products, weights(network)))
    assert PROXIES["grasp"](network, data) == pytest.approx(expected, rel=1e-4)


def test_fisher_by_hand_for_a_linear_network():
    network, data = nn.Sequential(nn.Flatten(), nn.Linear(25, 3)), batch()
    scores = network(data.images)
    (slope,) = torch.autograd.grad(F.cross_entropy(scores, data.labels), scores)
    expected = float(((scores * slope).square().mean(0) / 2).sum())
    assert PROXIES["fisher"](network, data) == pytest.approx(expected, rel=1e-5)


def test_synflow_without_batch_norm_is_that_of_the_bare_network():
    network, data = made(), batch()
    with torch.no_grad():
        network.norm.weight.mul_(-3.0)
        network.norm.running_var.mul_(100.0)
    bare = copy.deepcopy(network).double()
    bare.norm = nn.Identity()
    for weight in bare.parameters():
        weight.data.abs_()
    slopes = torch.autograd.grad(bare(torch.ones(1, 1, 5, 5).double()).sum(), weights(bare))
    expected = math.log1p(sum(float((w * g).abs().sum()) for w, g in zip(weights(bare), slopes)))
    assert PROXIES["synflow"](network, data) == pytest.approx(expected, rel=1e-12)
    assert (network.norm.weight < 0).all() and (network.first.weight < 0).any(), "signs are restored"


def test_synflow_of_a_deep_network_does_not_overflow():
    layers = [nn.Linear(64, 64, bias=False) for _ in range(60)]
    network = nn.Sequential(nn.Flatten(), nn.Linear(25, 64), *layers)
    with torch.no_grad():
        for layer in layers:
            layer.weight.fill_(1.0)
    assert 60 * math.log(64) < PROXIES["synflow"](network, batch()) < 400, "64^60 is beyond float32"


def test_synflow_restores_the_network_after_a_failure():
    network = made()
    before = copy.deepcopy(network.state_dict())
    network.head = nn.Linear(7, 3)
    with pytest.raises(RuntimeError):
        PROXIES["synflow"](network, batch())
    assert torch.equal(network.first.weight, before["first.weight"]) and network.training


def test_nwot_counts_functional_relus_as_modules():
    functional, modules = made(), made(functional=False)
    data = batch()
    assert PROXIES["nwot"](functional, data) == PROXIES["nwot"](modules, data)
    normed = functional.norm(functional.first(data.images))
    bits = [normed > 0, functional.second(normed.relu()) > 0]
    codes = torch.cat([each.flatten(1) for each in bits], 1).double()
    kernel = codes @ codes.T + (1 - codes) @ (1 - codes).T
    assert PROXIES["nwot"](functional, data) == pytest.approx(float(torch.linalg.slogdet(kernel)[1]), rel=1e-9)


def test_nwot_of_a_network_that_treats_all_images_alike_is_the_least():
    network = nn.Sequential(nn.Flatten(), nn.Linear(25, 3))
    assert PROXIES["nwot"](network, batch()) == -torch.finfo(torch.float64).max


def test_jacobian_covariance_is_that_of_symmetric_eigenvalues():
    network, data = made(), batch()
    images = data.images.clone().requires_grad_()
    (jacobian,) = torch.autograd.grad(network(images).sum(), images)
    values = np.linalg.eigvalsh(np.corrcoef(jacobian.flatten(1).numpy().astype(np.float64))) + 1e-5
    expected = -float(np.sum(np.log(values) + 1 / values))
    assert PROXIES["jacob_cov"](network, data) == pytest.approx(expected, rel=1e-3)


def test_jacobian_covariance_of_a_linear_network_is_real_and_bad():
    """All Jacobians are equal: the matrix has rank 1, for which a general solver gives complex or negative values."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(25, 3))
    value = PROXIES["jacob_cov"](network, batch())
    assert value == pytest.approx(-5e5, rel=1e-2) and value < PROXIES["jacob_cov"](made(), batch())


def test_zen_compensates_for_batch_norm():
    """Weights before a BatchNorm may be scaled at will: what it divides by is added again."""
    network = made()
    value = PROXIES["zen"](network, batch())
    wide = PROXIES["zen"](made(width=8), batch())
    assert value != wide
    assert PROXIES["zen"](network, batch(seed=1)) != value, "the images are drawn from the batch's generator"


def test_sizes():
    network, data = made(), batch()
    assert PROXIES["parameters"](network, data) == sum(w.numel() for w in network.parameters())
    assert PROXIES["multiply_adds"](network, data) == 25 * 9 * (4 + 16) + 4 * 3
