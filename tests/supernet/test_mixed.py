"""The batched backend equals the reference: values, every gradient, running statistics; whatever the shapes."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from supernet.mixed import MixedGraph
from supernet.ops import DARTS_PRIMITIVES, OPS

TOLERANCE = 1e-10


def run(graph, states, gates, backend, layout=torch.contiguous_format):
    """Nodes, gradients of inputs, gates and weights, running statistics, nodes and gate gradients in evaluation."""
    graph = copy.deepcopy(graph)
    graph.backend = backend
    states = [s.clone(memory_format=layout).requires_grad_() for s in states]
    gates = gates.clone().requires_grad_()
    nodes = graph(states, gates)[len(states) :]
    loss = sum((node * torch.cos(torch.arange(node.numel()).view(node.shape))).sum() for node in nodes)
    grads = torch.autograd.grad(loss, [*states, gates, *graph.parameters()], allow_unused=True)
    grads = [g if g is not None else torch.zeros(1) for g in grads]
    buffers = list(graph.buffers())
    graph.eval()
    evaluated = graph(states, gates)[len(states) :]
    (gate_grad,) = torch.autograd.grad(sum(node.square().sum() for node in evaluated), gates)
    return [*nodes, *grads, *buffers, *evaluated, gate_grad]


def assert_equal(first, second, tolerance=TOLERANCE):
    for a, b in zip(first, second, strict=True):
        scale = max(b.abs().max().item(), 1e-3)
        assert (a - b).abs().max().item() <= tolerance * scale, (a.shape, (a - b).abs().max().item() / scale)


def graph_and_inputs(
    channels=3, candidates=DARTS_PRIMITIVES, inputs=2, nodes=2, stride=1, batch=2, size=(5, 4), seed=0
):
    torch.manual_seed(seed)
    graph = MixedGraph(channels, candidates, inputs, nodes, stride).double()
    states = [torch.randn(batch, channels, *size, dtype=torch.float64) for _ in range(inputs)]
    rows = sum(range(inputs, inputs + nodes))
    return graph, states, torch.rand(rows, len(candidates), dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(
    channels=st.integers(2, 7),
    candidates=st.lists(st.sampled_from(sorted(OPS)), min_size=1, max_size=8, unique=True),
    inputs=st.integers(1, 2),
    nodes=st.integers(1, 3),
    stride=st.integers(1, 2),
    batch=st.integers(1, 3),
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
def test_any_graph(channels, candidates, inputs, nodes, stride, batch, size, layout):
    if batch * (-(-size[0] // stride)) * (-(-size[1] // stride)) < 2:
        return  # BatchNorm needs two values
    graph, states, gates = graph_and_inputs(channels, tuple(candidates), inputs, nodes, stride, batch, size)
    assert_equal(run(graph, states, gates, "batched", layout), run(graph, states, gates, "reference"))


@pytest.mark.parametrize("stride", [1, 2])
def test_darts_cell(stride):
    graph, states, gates = graph_and_inputs(6, nodes=4, stride=stride, batch=3, size=(8, 8))
    assert_equal(run(graph, states, gates, "batched"), run(graph, states, gates, "reference"))


def test_float32_at_paper_width():
    graph, states, gates = graph_and_inputs(16, nodes=4, batch=4, size=(16, 16))
    exact = run(graph, states, gates, "reference")
    single = run(graph.float(), [s.float() for s in states], gates.float(), "batched")
    assert_equal(single, exact, 2e-4)


def test_a_large_mean_costs_no_digits():
    graph, states, gates = graph_and_inputs(4, ("dil_conv_3x3", "avg_pool_3x3"), nodes=1, batch=4, size=(9, 9))
    far = [s + 300 for s in states]
    exact = run(graph, far, gates, "reference")
    single = run(graph.float(), [s.float() for s in far], gates.float(), "batched")
    assert_equal(single[:1], exact[:1], 5e-3)


def test_gates_of_none_have_no_gradient_and_cost_nothing():
    graph, states, gates = graph_and_inputs(candidates=("none",), nodes=1)
    gates.requires_grad_()
    node = graph(states, gates)[-1]
    assert torch.equal(node, torch.zeros_like(node))


def test_autocast_stays_close():
    graph, states, gates = graph_and_inputs(8, nodes=2, batch=4, size=(8, 8))
    graph, states, gates = graph.float(), [s.float() for s in states], gates.float().requires_grad_()
    exact = graph(states, gates)[-1]
    with torch.autocast("cpu", torch.bfloat16):
        half = graph(states, gates)[-1]
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, rtol=0.1, atol=0.1 * exact.std().item())
    (grad,) = torch.autograd.grad(half.float().square().sum(), gates)
    assert torch.isfinite(grad).all()


def test_backends_share_parameters_and_state():
    graph, states, gates = graph_and_inputs()
    other = MixedGraph(3, DARTS_PRIMITIVES, 2, 2, backend="reference").double()
    other.load_state_dict(graph.state_dict())
    assert_equal(graph(states, gates)[2:], other(states, gates)[2:])
    stacked = graph.sources[0].ops["sep_conv_3x3"].op[1].weight
    assert stacked.shape == (2, 3, 1, 3, 3)
    assert not torch.equal(stacked[0], stacked[1])
