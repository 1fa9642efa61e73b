"""Proxies of the loss's gradient on one batch, as defined by Abdelfattah et al. 2021 for whole networks.

They sum over the weights of convolutions and linear layers; BatchNorm's scales and shifts, and biases, do not count.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.hooks import RemovableHandle

from darts.blackbox.proxies.batch import Batch

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
"""Layers whose weights count."""


def layers(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers whose weights count."""
    yield from (module for module in network.modules() if isinstance(module, LAYERS))


def layer_weights(network: nn.Module) -> list[Tensor]:
    """Return the weights of the layers that count."""
    return [layer.weight for layer in layers(network) if isinstance(layer.weight, Tensor)]


def loss_of(network: nn.Module, batch: Batch) -> Tensor:
    """Return the cross-entropy of a batch, ``()``."""
    return F.cross_entropy(network(batch.images).float(), batch.labels)


def weight_grads(network: nn.Module, batch: Batch, create_graph: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each weight that counts and takes part in the loss, with its gradient."""
    weights = layer_weights(network)
    grads = torch.autograd.grad(loss_of(network, batch), weights, create_graph=create_graph, allow_unused=True)
    yield from ((weight, grad) for weight, grad in zip(weights, grads) if grad is not None)


def grad_norm(network: nn.Module, batch: Batch) -> float:
    """Return the sum over layers of the Euclidean norm of the weights' gradient."""
    return sum(float(grad.norm()) for _, grad in weight_grads(network, batch))


def snip(network: nn.Module, batch: Batch) -> float:
    """Return the sum of ``|g w|``, the change of the loss at first order without each weight (Lee et al. 2019)."""
    return sum(float((weight * grad).detach().abs().sum()) for weight, grad in weight_grads(network, batch))


def grasp(network: nn.Module, batch: Batch) -> float:
    """Return the sum of ``-(H g) w``, by how much the gradient's norm falls without each weight (Wang et al. 2020).

    It keeps its sign, unlike ``snip``: for most networks it is negative.
    """
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention can be differentiated once
        pairs = list(weight_grads(network, batch, create_graph=True))
    weights = [weight for weight, _ in pairs]
    # g'g / 2 has the gradient H g; weights behind the last nonlinearity alone may have none.
    square = sum((grad.square().sum() / 2 for _, grad in pairs), torch.zeros((), device=batch.images.device))
    products = torch.autograd.grad(square, weights, allow_unused=True)
    terms = (-(product * weight).detach().sum() for weight, product in zip(weights, products) if product is not None)
    return sum(map(float, terms))


def fisher(network: nn.Module, batch: Batch) -> float:
    """Return the sum over layers and channels of ``mean_b (sum_hw a da)^2 / 2``: Fisher pruning (Turner et al. 2020).

    ``a`` is the output of a layer and ``da`` the gradient of the loss with respect to it. A layer that is called
    several times counts with each output.
    """
    outputs: list[Tensor] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs.append(output)

    hooks: list[RemovableHandle] = [layer.register_forward_hook(note) for layer in layers(network)]
    try:
        loss = loss_of(network, batch)
    finally:
        for hook in hooks:
            hook.remove()
    grads = torch.autograd.grad(loss, outputs, allow_unused=True)
    total = 0.0
    for output, grad in zip(outputs, grads):
        if grad is not None:
            by_channel = (output * grad).flatten(2).sum(2) if output.ndim > 2 else output * grad
            total += float((by_channel.detach().square().mean(0) / 2).sum())
    return total
