"""Comparing a backend with the reference on the device where it is going to be used.

A mixed graph of each stride is computed by ``reference`` in float64 and by the backend in a storage type, forward and
backward. Both get the same inputs, gates and parameters, rounded to the types that the backend reads: values that tie
only after rounding would send a max pool's gradient elsewhere, which is no error of the backend. Rounded intermediate
values still flip ReLU masks and maxima: in 16 bits so many that gradients differ by some 10 %, in float32 one in
millions, which changes a tensor's RMS by a thousandth. So gradients are judged twice: by the RMS of their errors, and
by the median, which a flip does not move.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from supernet.fused.availability import by_triton, fuse_layers, unavailable
from supernet.fused.cpu import library
from supernet.mixed.backends import Backend, warn_fallback
from supernet.mixed.graph import MixedGraph
from supernet.ops import DilConv, FactorizedReduce, NorConv, ReLUConvBN, SepConv
from supernet.spaces.darts import DARTS_PRIMITIVES

NODES = {torch.float64: 1e-9, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.5e-2}
"""Largest error of a node for each storage type, relative to the RMS of the reference's."""

GRADIENTS = {torch.float64: 1e-9, torch.float32: 1e-2, torch.float16: 0.2, torch.bfloat16: 0.3}
"""Largest error of a gradient, in the same way."""

MEDIANS = {torch.float64: 1e-9, torch.float32: 1e-5, torch.float16: 0.1, torch.bfloat16: 0.2}
"""Largest median of a gradient's errors, relative to its RMS."""


@dataclass(frozen=True)
class Verification:
    """The largest errors of a backend, relative to the RMS of the reference, and whether they are small enough."""

    nodes: float
    gradients: float
    medians: float
    passed: bool

    def __str__(self) -> str:
        found = f"largest error {self.nodes:.1e} of nodes, {self.gradients:.1e} of gradients"
        return f"{found} (median {self.medians:.1e}), relative to their RMS"


def verify(
    backend: Backend,
    device: torch.device,
    storage: torch.dtype,
    *,
    channels: int = 16,
    size: tuple[int, int] = (9, 8),
) -> Verification:
    """Compare a backend with the reference; the state of random number generators is left as it was.

    Args:
        storage: type of the backend's states.
        channels, size: of the states.
    """
    kept = torch.promote_types(storage, torch.float32)  # of gates and parameters
    nodes = gradients = medians = 0.0
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), exact_products(device):
        torch.manual_seed(0)
        for stride in (1, 2):
            graph = MixedGraph(channels, DARTS_PRIMITIVES, 2, 4, stride, "reference").to(kept)
            states = [torch.randn(4, channels, *size, dtype=torch.float64).to(device, storage) for _ in range(2)]
            edges = sum(len(source.rows) for source in graph.sources)
            gates = torch.rand(edges, len(DARTS_PRIMITIVES), dtype=torch.float64).to(device, kept)
            found, expected = compare(graph.to(device), backend, states, gates)
            count = len(expected) - len(states) - 1 - len(list(graph.parameters()))
            errors = [relative_error(*pair) for pair in zip(found, expected, strict=True)]
            nodes, gradients = max(nodes, *errors[:count]), max(gradients, *errors[count:])
            medians = max(medians, *(median_error(*pair) for pair in zip(found[count:], expected[count:])))
    passed = nodes <= NODES[storage] and gradients <= GRADIENTS[storage] and medians <= MEDIANS[storage]
    return Verification(nodes, gradients, medians, passed)


def prefer_fused(network: nn.Module, device: torch.device, storage: torch.dtype) -> None:
    """Let a network's mixed graphs use the fused kernels where these have been found to equal the reference.

    On a CPU graphs of full convolutions (NAS-Bench-201) are left to ``batched``: both call PyTorch's convolutions, and
    ``batched`` moves fewer bytes around them.

    Args:
        storage: type of the states, float32 or bfloat16.
    """
    graphs = [module for module in network.modules() if isinstance(module, MixedGraph)]
    if device.type == "cpu":
        graphs = [graph for graph in graphs if not _has_full_convolutions(graph)]
    if not graphs or (device.type == "cpu" and (by_triton(device) or storage not in library.TYPES)):
        return
    reason = unavailable(device) or _failure(device, storage)
    if reason is None:
        for graph in graphs:
            graph.backend = "fused"
    else:
        warn_fallback("fused", "batched", reason)


def _has_full_convolutions(graph: MixedGraph) -> bool:
    return any(isinstance(op, NorConv) for source in graph.sources for op in source.ops.values())


def layers_usable(device: torch.device) -> bool:
    """Return whether the layers of a network can use the fused functions of a CPU; a warning says why not."""
    reason = unavailable(device) or _failure(device, torch.float32)
    if reason is not None:
        warn_fallback("fused", "PyTorch", reason)
    return reason is None


@cache
def _failure(device: torch.device, storage: torch.dtype) -> str | None:
    """Return why the fused kernels cannot be used on a device; ``None`` where they equal the reference there.

    On a GPU the size is that of a search's states, whose kernels are then compiled already. On a CPU this is found out
    once, when the functions have been compiled.
    """
    here = "CPU" if device.type == "cpu" else "GPU"
    if here == "CPU" and library.is_verified():
        return None
    try:
        found = verify("fused", device, storage, size=(9, 8) if here == "CPU" else (16, 16))
        if found.passed:
            found = verify_layers(device, storage)
        if found.passed and here == "CPU":
            library.keep_verified()
    except Exception as error:  # whatever a compiler or a driver raises: others compute the same without them
        first = next(iter(str(error).splitlines()), "")[:100]
        return f"on this {here} they fail ({type(error).__name__}: {first})"
    return None if found.passed else f"on this {here} they differ from the reference ({found})"


def verify_layers(device: torch.device, storage: torch.dtype) -> Verification:
    """Compare the layers that have fused functions on a CPU with PyTorch's, as ``verify`` does; on a GPU those that a
    supernet has outside of its mixed graphs."""
    layers: tuple[nn.Module, ...]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = ReLUConvBN(12, 16), FactorizedReduce(16, 24)
        if not by_triton(device):
            layers += SepConv(24, 3, 1), DilConv(24, 5, 1), SepConv(24, 5, 2)
        images = torch.randn(4, 12, 9, 8, dtype=torch.float64).to(device, storage)
        fused = nn.Sequential(*layers).to(device, torch.promote_types(storage, torch.float32))
    exact = copy.deepcopy(fused).double()
    fuse_layers(fused, device)

    def differentiated(network: nn.Module, x: Tensor) -> list[Tensor]:
        x = x.clone().requires_grad_()
        y = network(x)
        loss = (y.double() * torch.linspace(-1, 1, y.numel(), dtype=torch.float64, device=device).view(y.shape)).sum()
        return [y, *torch.autograd.grad(loss, [x, *network.parameters()])]

    with exact_products(device):
        found, expected = differentiated(fused, images), differentiated(exact, images.double())
    output, *errors = (relative_error(*pair) for pair in zip(found, expected, strict=True))
    median = max(median_error(*pair) for pair in zip(found[1:], expected[1:]))
    passed = output <= NODES[storage] and max(errors) <= GRADIENTS[storage] and median <= MEDIANS[storage]
    return Verification(output, max(errors), median, passed)


def compare(
    graph: MixedGraph, backend: Backend, states: Sequence[Tensor], gates: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Return nodes and gradients by a backend, and the reference's for the same, already rounded, values in float64."""
    exact = copy.deepcopy(graph).double()
    exact.backend, tested = "reference", copy.deepcopy(graph)
    tested.backend = backend
    found = differentiate(tested, states, gates)
    return found, differentiate(exact, [state.double() for state in states], gates.double())


def differentiate(graph: MixedGraph, states: Sequence[Tensor], gates: Tensor) -> list[Tensor]:
    """Return the nodes of a graph, then the gradients of states, gates and parameters for a fixed loss."""
    states, gates = [state.clone().requires_grad_() for state in states], gates.clone().requires_grad_()
    nodes = graph(states, gates)[len(states) :]
    losses = []
    for node in nodes:
        weights = torch.linspace(-1, 1, node.numel(), device=node.device).view(node.shape)
        losses.append((node.to(gates.dtype) * weights).sum())
    wanted = [*states, gates, *graph.parameters()]
    grads = torch.autograd.grad(torch.stack(losses).sum(), wanted, allow_unused=True, materialize_grads=True)
    return [*nodes, *grads]


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Return the RMS of an error, relative to the RMS of the expected values; infinite where it is not finite."""
    error = (found.double() - expected.double()).square().mean().sqrt() / _rms(expected)
    return error.nan_to_num(math.inf).item()


def median_error(found: Tensor, expected: Tensor) -> float:
    """Return the median of an error's absolute values, relative to the RMS of the expected values."""
    error = (found.double() - expected.double()).abs().median() / _rms(expected)
    return error.nan_to_num(math.inf).item()


def _rms(expected: Tensor) -> Tensor:
    return expected.double().square().mean().sqrt().clamp_min(1e-6)


def exact_products(device: torch.device) -> AbstractContextManager[object]:
    """Keep cuDNN from shortening factors of float32 products to TF32, which is no error of a backend either."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if device.type == "cuda" else nullcontext()
