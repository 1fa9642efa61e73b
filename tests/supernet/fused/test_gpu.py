"""The compiled fused kernels against the reference in float64: all storage types, odd sizes, every gradient."""

import copy

import pytest
import torch

from supernet.mixed.graph import MixedGraph
from supernet.shapes import ImageShape
from supernet.spaces.darts import DARTS_PRIMITIVES
from supernet.spaces.darts.space import DARTSSpace
from tests.supernet.fused.twenty_steps import twenty_steps

pytestmark = pytest.mark.gpu

TOLERANCES = {torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.08}
"""Of errors relative to the RMS of the reference."""


@pytest.fixture(autouse=True)
def device():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    torch.utils.deterministic.fill_uninitialized_memory = True  # with NaN, under deterministic algorithms
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield torch.device("cuda")
    torch.use_deterministic_algorithms(False)


def run(graph, states, gates):
    """Nodes, then the gradients of states, gates and weights."""
    states = [s.clone().requires_grad_() for s in states]
    gates = gates.clone().requires_grad_()
    nodes = graph(states, gates)[len(states) :]
    loss = sum((node.float() * torch.cos(torch.arange(node.numel(), device=node.device)).view(node.shape)).sum()
               for node in nodes)  # fmt: skip
    wanted = [*states, gates, *graph.parameters()]
    return [*nodes, *torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize("storage", TOLERANCES)
@pytest.mark.parametrize("channels", [16, 20, 36, 64])
@pytest.mark.parametrize("batch, size, stride", [(1, (33, 31), 1), (1, (33, 31), 2), (8, (8, 8), 1), (3, (16, 5), 2)])
def test_equals_the_reference(device, storage, channels, batch, size, stride):
    torch.manual_seed(0)
    exact = MixedGraph(channels, DARTS_PRIMITIVES, 2, 4, stride, "reference").double().to(device)
    states = [torch.randn(batch, channels, *size, device=device, dtype=torch.float64) for _ in range(2)]
    gates = torch.rand(14, len(DARTS_PRIMITIVES), device=device, dtype=torch.float64)
    gates[::3, ::2] = 0
    low = copy.deepcopy(exact).float()
    low.backend = "fused"
    given = [s.to(storage) for s in states], gates.float()
    first, again = run(low, *given), run(low, *given)
    for a, b, c in zip(run(exact, states, gates), first, again, strict=True):
        assert b.isfinite().all() and b.equal(c)
        assert (a - b.double()).square().mean().sqrt() <= TOLERANCES[storage] * a.square().mean().sqrt() + 1e-6, a.shape


def test_twenty_steps(device):
    """The loss curves agree, and what would be derived."""
    space = DARTSSpace(ImageShape(3, 16, 10), channels=16, layers=4, nodes=2)
    (curve, chosen), *others = twenty_steps(space, ("reference", "batched", "fused"), 16, device)
    for other, columns in others:
        torch.testing.assert_close(other, curve, rtol=1e-2, atol=0)
        assert columns.equal(chosen)
