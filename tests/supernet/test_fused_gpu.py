"""The compiled fused kernels against the reference in float64: all storage types, odd sizes, every gradient."""

import copy

import pytest
import torch

from supernet.mixed import MixedGraph
from supernet.network import ImageShape
from supernet.ops import DARTS_PRIMITIVES
from supernet.spaces.darts import DARTSSpace

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
    """Twenty steps of weights and logits of a whole supernet: the loss curves agree, and what would be derived."""
    curves, chosen = [], []
    for backend in ("reference", "batched", "fused"):
        torch.manual_seed(3)
        space = DARTSSpace(ImageShape(3, 16, 10), channels=16, layers=4, nodes=2)
        network = space.supernet(backend).to(device)
        logits = {
            t.label: (1e-3 * torch.randn(t.rows, len(t.candidates))).to(device).requires_grad_() for t in space.tables
        }
        optimizer = torch.optim.SGD([*network.parameters(), *logits.values()], 0.025, momentum=0.9)
        generator = torch.Generator().manual_seed(1)
        losses = []
        for _ in range(20):
            x = torch.randn(16, 3, 16, 16, generator=generator).to(device)
            y = torch.randint(10, (16,), generator=generator).to(device)
            loss = torch.nn.functional.cross_entropy(network(x, {k: v.softmax(1) for k, v in logits.items()}), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        curves.append(torch.stack(losses).cpu())
        chosen.append(torch.cat([logit.detach().argmax(1).cpu() for logit in logits.values()]))
    for curve, columns in zip(curves[1:], chosen[1:]):
        torch.testing.assert_close(curve, curves[0], rtol=1e-2, atol=0)
        assert columns.equal(chosen[0])
