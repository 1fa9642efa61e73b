"""The other backends equal the reference: values, every gradient, running statistics; whatever the shapes."""

import copy

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import supernet.mixed.batched
from supernet.mixed.graph import MixedGraph
from supernet.mixed.source import add_auxiliary_skips
from supernet.network import DropPath
from supernet.ops import OPS, DilConv
from supernet.shapes import ImageShape
from supernet.spaces.darts import DARTS_PRIMITIVES
from supernet.spaces.darts.space import DARTSSpace
from tests.supernet.fused.steps import assert_close_along, steps_of

TOLERANCE = 1e-10

BACKENDS = ["batched", "fused"]
"""``fused`` by the C++ functions where there is a compiler; what these do not support ``batched`` computes."""

pytestmark = pytest.mark.filterwarnings("ignore:the fused backend cannot be used")


def run(graph, states, gates, backend, layout=torch.contiguous_format):
    """Nodes, gradients of inputs, gates and weights, running statistics, nodes and gate gradients in evaluation."""
    graph = copy.deepcopy(graph)
    graph.backend = backend
    states = [s.clone(memory_format=layout).requires_grad_() for s in states]
    gates = gates.clone().requires_grad_()
    nodes = graph(states, gates)[len(states) :]
    loss = sum((node * torch.cos(torch.arange(node.numel()).view(node.shape))).sum() for node in nodes)
    grads = torch.autograd.grad(loss, [*states, gates, *graph.parameters()], materialize_grads=True)
    buffers = list(graph.buffers())
    graph.eval()
    evaluated = graph(states, gates)[len(states) :]
    (gate_grad,) = torch.autograd.grad(sum(node.square().sum() for node in evaluated), gates, materialize_grads=True)
    return [*nodes, *grads, *buffers, *evaluated, gate_grad]


def assert_equal(first, second, tolerance=TOLERANCE, floor=1e-2):
    """``floor``: below it errors are absolute: BatchNorm of a constant blows rounding up by 1 / sqrt(eps) = 316."""
    for a, b in zip(first, second, strict=True):
        scale = max(b.abs().max().item(), floor)
        assert (a - b).abs().max().item() <= tolerance * scale, (a.shape, (a - b).abs().max().item() / scale)


def graph_and_inputs(
    channels=3,
    candidates=DARTS_PRIMITIVES,
    inputs=2,
    nodes=2,
    stride=1,
    batch=2,
    size=(5, 4),
    seed=0,
    zeros=0.0,
    forbidden=0.0,
    partial=1,
):
    """``zeros``: the share of gates that are 0; ``forbidden``: of (edge, candidate) pairs that are not built."""
    torch.manual_seed(seed)
    rows = sum(range(inputs, inputs + nodes))
    gates = torch.rand(rows, len(candidates), dtype=torch.float64) * (torch.rand(rows, len(candidates)) >= zeros)
    mask = torch.rand(rows, len(candidates)) >= forbidden
    allowed = [[name for name, allows in zip(candidates, row) if allows] for row in mask] if forbidden else None
    graph = MixedGraph(channels, candidates, inputs, nodes, stride, allowed=allowed, partial=partial).double()
    states = [torch.randn(batch, channels, *size, dtype=torch.float64) for _ in range(inputs)]
    return graph, states, gates * mask


@settings(max_examples=80, deadline=None)
@given(
    backend=st.sampled_from(BACKENDS),
    channels=st.integers(2, 9),
    candidates=st.lists(st.sampled_from(sorted(OPS.keys() - {"noise"})), min_size=1, max_size=8, unique=True),
    inputs=st.integers(1, 2),
    nodes=st.integers(1, 3),
    stride=st.integers(1, 2),
    batch=st.integers(1, 3),
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
    zeros=st.sampled_from([0.0, 0.3, 0.9]),
    forbidden=st.sampled_from([0.0, 0.4]),
    partial=st.sampled_from([1, 2]),
)
@example(
    backend="batched",
    channels=2,
    candidates=["avg_pool_3x3", "conv_7x1_1x7", "dil_conv_3x3", "dil_conv_5x5"],
    inputs=1,
    nodes=1,
    stride=1,
    batch=1,
    size=(2, 4),
    layout=torch.contiguous_format,
    zeros=0.0,
    forbidden=0.0,
    partial=1,
)
def test_any_graph(
    backend, channels, candidates, inputs, nodes, stride, batch, size, layout, zeros, forbidden, partial
):
    if batch * (-(-size[0] // stride)) * (-(-size[1] // stride)) < 2:
        return  # BatchNorm needs two values
    sizes = partial * channels, tuple(candidates), inputs, nodes, stride, batch, size
    graph, states, gates = graph_and_inputs(*sizes, zeros=zeros, forbidden=forbidden, partial=partial)
    # A node of zero gates is such a constant, and up to three nodes follow each other.
    assert_equal(run(graph, states, gates, backend, layout), run(graph, states, gates, "reference"), floor=10)


@pytest.mark.parametrize("stride", [1, 2])
def test_reference_against_numeric_differentiation(stride):
    graph, states, gates = graph_and_inputs(2, nodes=1, stride=stride, size=(4, 3))
    graph.backend = "reference"
    names = [name for name, _ in graph.named_parameters()]

    def nodes(gates, first, second, *weights):
        return torch.func.functional_call(graph, dict(zip(names, weights)), ([first, second], gates))[2]

    given = [x.clone().requires_grad_() for x in (gates, *states, *graph.parameters())]
    assert torch.autograd.gradcheck(nodes, given, atol=1e-6, fast_mode=True)


def test_twenty_steps():
    space = DARTSSpace(ImageShape(3, 8, 10), channels=4, layers=2, nodes=1)
    (curve, chosen), *others = steps_of(space, ("reference", *BACKENDS), 4, dtype=torch.float64)
    for other, columns in others:
        torch.testing.assert_close(other, curve, rtol=1e-8, atol=0)
        assert columns.equal(chosen) and curve.std() > 0.02


def test_float32_along_a_search():
    space = DARTSSpace(ImageShape(3, 8, 10), channels=8, layers=3, nodes=2)
    assert_close_along(space, BACKENDS, 8, torch.device("cpu"), steps=7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stride", [1, 2])
def test_darts_cell(backend, stride):
    graph, states, gates = graph_and_inputs(6, nodes=4, stride=stride, batch=3, size=(8, 8))
    assert_equal(run(graph, states, gates, backend), run(graph, states, gates, "reference"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_float32_at_paper_width(backend):
    graph, states, gates = graph_and_inputs(16, nodes=4, batch=4, size=(16, 16))
    exact = run(graph, states, gates, "reference")
    single = run(graph.float(), [s.float() for s in states], gates.float(), backend)
    assert_equal(single, exact, 2e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_large_mean_costs_no_digits(backend):
    graph, states, gates = graph_and_inputs(4, ("dil_conv_3x3", "avg_pool_3x3"), nodes=1, batch=4, size=(9, 9))
    far = [s + 300 for s in states]
    exact = run(graph, far, gates, "reference")
    single = run(graph.float(), [s.float() for s in far], gates.float(), backend)
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


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
def test_a_candidate_of_gate_0_takes_no_part(backend):
    graph, states, gates = graph_and_inputs(4, nodes=2)
    graph.backend = backend
    column = DARTS_PRIMITIVES.index("sep_conv_3x3")
    gates[1, column] = 0
    gates.requires_grad_()
    sources = {row: (source, edge) for source in graph.sources for edge, row in enumerate(source.rows)}
    before = {name: buffer.clone() for name, buffer in graph.named_buffers()}
    node = graph(states, gates)[2]
    (grad,) = torch.autograd.grad(node.square().sum(), gates)
    assert grad[1, column] == 0 and grad[0, column] != 0
    for row, moved in ((0, True), (1, False)):
        source, edge = sources[row]
        norm = source.ops["sep_conv_3x3"].op[3]
        name = next(name for name, buffer in graph.named_buffers() if buffer is norm.running_mean)
        assert torch.equal(norm.running_mean[edge], before[name][edge]) is not moved


@pytest.mark.parametrize("stride", [1, 2])
def test_where_gates_are_not_known_the_numbers_are_the_same(stride, monkeypatch):
    """As on a GPU, whose gates are not looked at: everything is computed, and what 0 must not move stands still."""
    graph, states, gates = graph_and_inputs(4, nodes=2, stride=stride, size=(6, 6), zeros=0.4, forbidden=0.3)
    expected = run(graph, states, gates, "reference")
    leaving = supernet.mixed.batched._edge_outputs
    monkeypatch.setattr(
        supernet.mixed.batched,
        "_edge_outputs",
        lambda source, x, gates, live: leaving(source, x, gates * (gates != 0), None),
    )
    assert_equal(run(graph, states, gates, "batched"), expected)


def test_one_hot_gates_cost_one_path():
    graph, states, _ = graph_and_inputs(4, nodes=4)
    gates = torch.nn.functional.one_hot(torch.arange(14) % 8, 8).double()
    calls = []
    handle = torch.nn.modules.module.register_module_forward_hook(lambda module, *_: calls.append(type(module)))
    graph.backend = "reference"
    graph(states, gates)
    handle.remove()
    assert calls.count(torch.nn.MaxPool2d) == 2 and calls.count(DilConv) == 2


def test_partial_channels_pass_by_and_are_shuffled():
    graph, (x, _), _ = graph_and_inputs(6, ("skip_connect",), nodes=1, partial=3)
    node = graph([x, torch.zeros_like(x)], torch.full((2, 1), 2.0).double())[-1]
    mixed = x.clone()
    mixed[:, :2] *= 2
    assert torch.equal(node, mixed[:, [0, 2, 4, 1, 3, 5]])
    with pytest.raises(ValueError, match="6 channels cannot be split into 4"):
        MixedGraph(6, ("none",), 1, 1, partial=4)


@pytest.mark.parametrize("partial", [1, 2])
@pytest.mark.parametrize("backend", BACKENDS)
def test_biases_of_edges_are_added(backend, partial):
    graph, states, gates = graph_and_inputs(8, nodes=2, partial=partial)
    gates[2] = 0
    bias, found = torch.rand(5, dtype=torch.float64).requires_grad_(), []
    for graph.backend in ("reference", backend):
        copied = copy.deepcopy(graph)
        nodes = copied(states, gates, bias=bias)[2:]
        (grad,) = torch.autograd.grad(sum((node * node.cos().detach()).sum() for node in nodes), bias)
        found.append([*nodes, grad])
    assert_equal(found[1], found[0])
    assert found[0][-1].all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_of_edges_multiply_all_that_they_deliver(backend):
    graph, states, gates = graph_and_inputs(6, nodes=1, partial=2)
    graph.backend = backend
    weights = torch.tensor([0.25, 3.0]).double()
    first, second = (graph(states, gates, torch.eye(2).double()[k])[-1] for k in (0, 1))
    torch.testing.assert_close(graph(states, gates, weights)[-1], 0.25 * first + 3 * second)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stride", [1, 2])
def test_auxiliary_skips_are_added(backend, stride):
    graph, states, gates = graph_and_inputs(4, nodes=2, stride=stride)
    graph.backend = backend
    plain = graph(states, gates)
    add_auxiliary_skips(graph)
    graph.double()
    skips = torch.rand(5).double()
    for same in (graph(states, gates), graph(states, gates, skip=torch.zeros(5).double())):
        assert all(torch.equal(a, b) for a, b in zip(plain, same))
    expected = sum(skips[e] * graph.sources[e].auxiliary(states[e])[0] for e in (0, 1))
    torch.testing.assert_close(graph(states, gates, skip=skips)[2], plain[2] + expected)
    sizes = [p.numel() for name, p in graph.named_parameters() if ".skips." in name]
    assert sum(sizes) == (0 if stride == 1 else 4 * 2 * 2 * 4)


def test_auxiliary_skips_can_be_convolutions_that_begin_as_the_identity():
    graph = MixedGraph(4, DARTS_PRIMITIVES, 2, 1, 1).double()
    states, gates = [torch.randn(2, 4, 6, 6).double() for _ in range(2)], torch.rand(2, len(DARTS_PRIMITIVES)).double()
    skip = torch.rand(2).double()
    plain = graph(states, gates, skip=skip)[-1]
    add_auxiliary_skips(graph, convolution=True)
    graph.double()
    torch.testing.assert_close(graph(states, gates, skip=skip)[-1], plain)
    assert [source.skips.weight.shape for source in graph.sources] == [(1, 4, 4, 1, 1)] * 2
    torch.nn.init.zeros_(graph.sources[0].skips.weight)
    torch.testing.assert_close(graph(states, gates, skip=skip)[-1], plain - skip[0] * states[0])


def test_dropped_skips_and_edges():
    graph, (x, _), _ = graph_and_inputs(3, ("skip_connect", "none"), nodes=1)
    gates = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double()
    node = graph([x, x], gates, drop_path=DropPath(0.0, torch.Generator().manual_seed(0), skips=0.25))[-1]
    assert set((node / x).unique().round(decimals=9).tolist()) == {0.0, round(1 / 0.75, 9)}
    node = graph([x, x], gates, drop_path=DropPath(1 - 1e-12, torch.Generator()))[-1]
    assert not node.any()
