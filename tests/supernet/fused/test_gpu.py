"""The compiled fused kernels against the reference in float64: all storage types, odd sizes, every gradient."""

import pytest
import torch

from supernet.fused.availability import fuse_layers
from supernet.fused.verification import (
    GRADIENTS,
    MEDIANS,
    NODES,
    compare,
    differentiate,
    exact_products,
    median_error,
    prefer_fused,
    relative_error,
)
from supernet.mixed.graph import MixedGraph
from supernet.shapes import ImageShape
from supernet.spaces.darts import DARTS_PRIMITIVES
from supernet.spaces.darts.space import DARTSSpace
from tests.supernet.fused.steps import assert_close_along

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def device():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    torch.utils.deterministic.fill_uninitialized_memory = True  # with NaN, under deterministic algorithms
    torch.use_deterministic_algorithms(True, warn_only=True)
    with exact_products(torch.device("cuda")):
        yield torch.device("cuda", torch.cuda.current_device())
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("storage", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels", [16, 20, 36, 64])
@pytest.mark.parametrize(
    "batch, size, stride",
    [(1, (33, 31), 1), (1, (33, 31), 2), (8, (8, 8), 1), (3, (16, 5), 2), (3, (16, 16), 1), (2, (32, 32), 2)],
)
def test_equals_the_reference(device, storage, channels, batch, size, stride):
    """The reference gets the inputs as they are rounded to the storage type; see ``supernet.fused.verification``.

    Some of these gradients are small differences of large sums. There PyTorch's own operations in float32 have medians
    of up to 2e-5; in float32 the kernels may have twice theirs.
    """
    torch.manual_seed(0)
    graph = MixedGraph(channels, DARTS_PRIMITIVES, 2, 4, stride).to(device)
    states = [torch.randn(batch, channels, *size, device=device).to(storage) for _ in range(2)]
    gates = torch.rand(14, len(DARTS_PRIMITIVES), device=device)
    gates[::3, ::2] = 0
    found, expected = compare(graph, "fused", states, gates)
    median = MEDIANS[storage]
    if storage == torch.float32:
        pairs = list(zip(*compare(graph, "reference", states, gates), strict=True))[graph.nodes :]
        median = max(median, *(2 * median_error(*pair) for pair in pairs))
    graph.backend = "fused"
    for index, (b, a, c) in enumerate(zip(found, expected, differentiate(graph, states, gates), strict=True)):
        assert b.isfinite().all() and b.equal(c)
        tolerance = NODES[storage] if index < graph.nodes else GRADIENTS[storage]
        assert relative_error(b, a) <= tolerance or (a - b).abs().max() < 1e-6, (index, a.shape)
        if index >= graph.nodes:
            assert median_error(b, a) <= median or (a - b).abs().max() < 1e-6, (index, a.shape)


def test_twenty_steps(device):
    space = DARTSSpace(ImageShape(3, 16, 10), channels=16, layers=4, nodes=2)
    assert_close_along(space, ("batched", "fused"), 16, device)


@pytest.mark.parametrize("storage", [torch.float32, torch.bfloat16])
def test_auto_is_fused(device, storage):
    network = DARTSSpace(ImageShape(3, 8, 10), channels=4, layers=2, nodes=1).supernet().to(device)
    prefer_fused(network, device, storage)
    assert {module.backend for module in network.modules() if isinstance(module, MixedGraph)} == {"fused"}


def test_a_captured_step_uses_the_fused_layers(device):
    """Its replay has the bits of a step outside of a graph, and launches each layer's kernels once."""
    torch.manual_seed(0)
    space = DARTSSpace(ImageShape(3, 16, 10), channels=16, layers=3, nodes=1)
    network = space.supernet("fused").to(device)
    fuse_layers(network, device)
    gates = {table.label: torch.rand(table.rows, len(table.candidates), device=device) for table in space.tables}
    x, weights = torch.randn(8, 3, 16, 16, device=device), [*network.parameters()]

    def step():
        with torch.autocast("cuda", torch.bfloat16):
            loss = network(x, gates).float().square().sum()
        return torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)

    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        expected = step()
        step()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        graph.replay()
        torch.cuda.synchronize(device)
    assert all(a.equal(b) for a, b in zip(found, expected, strict=True))
    counts = {event.key: event.count for event in profiler.key_averages()}
    names = "product", "scaled", "gradient_sums", "pointwise_gradients"
    assert {name: counts.get(f"_{name}_kernel") for name in names} == dict.fromkeys(names, 2 * len(network.cells))
