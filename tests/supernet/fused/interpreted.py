"""The fused backend equals the reference; ``test_graph`` runs this file in a process with Triton's interpreter."""

import copy

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from supernet.fused.graph.custom_op import mixed_graph
from supernet.fused.graph.description import describe, flat_tensors
from supernet.fused.graph.forward import graph_forward
from supernet.mixed.graph import MixedGraph
from supernet.mixed.source import add_auxiliary_skips
from supernet.shapes import ImageShape
from supernet.spaces.darts import DARTS_PRIMITIVES
from supernet.spaces.darts.space import DARTSSpace
from supernet.spaces.nasbench201 import NASBENCH201_OPS, supernet_op
from tests.supernet.fused.steps import steps_of

KNOWN = ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7",
         "dil_conv_3x3", "dil_conv_5x5", "nor_conv_1x1", "nor_conv_3x3")  # fmt: skip
CHEAP = ("none", "max_pool_3x3", "skip_connect", "dil_conv_3x3")


def graph_and_inputs(channels=4, candidates=DARTS_PRIMITIVES, inputs=2, nodes=2, stride=1, batch=2, size=(5, 4), seed=0,
                     **options):  # fmt: skip
    """A graph in float64 with running statistics of its own, states, gates."""
    torch.manual_seed(seed)
    graph = MixedGraph(channels, candidates, inputs, nodes, stride, **options).double()
    for buffer in graph.buffers():
        buffer.uniform_(0.5, 1.5)
    states = [torch.randn(batch, channels, *size, dtype=torch.float64) for _ in range(inputs)]
    rows = sum(range(inputs, inputs + nodes))
    gates = torch.rand(rows, len(candidates), dtype=torch.float64) + 0.01
    allowed = options.get("allowed")
    if allowed:
        gates *= torch.tensor([[name in names for name in candidates] for names in allowed])
    return graph, states, gates


def run(graph, states, gates, backend, *extras):
    """Nodes, gradients of all inputs and weights, running statistics; then nodes and gate gradients in evaluation."""
    graph = copy.deepcopy(graph)
    graph.backend = backend
    states = [s.clone().requires_grad_() for s in states]
    gates = gates.clone().requires_grad_()
    extras = [extra if extra is None else extra.clone().requires_grad_() for extra in extras]
    nodes = graph(states, gates, *extras)[len(states) :]
    loss = sum((node * torch.cos(torch.arange(node.numel()).view(node.shape))).sum() for node in nodes)
    wanted = [*states, gates, *(extra for extra in extras if extra is not None), *graph.parameters()]
    grads = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    buffers = list(graph.buffers())
    graph.eval()
    evaluated = graph(states, gates, *extras)[len(states) :]
    loss = sum(node.square().sum() for node in evaluated)
    grad = torch.autograd.grad(loss, gates, allow_unused=True, materialize_grads=True)
    return [*nodes, *grads, *buffers, *evaluated, *grad]


def assert_equal(graph, states, gates, *extras, tolerance=1e-9, floor=1e-2):
    pairs = zip(*(run(graph, states, gates, backend, *extras) for backend in ("reference", "fused")), strict=True)
    for a, b in pairs:
        scale = max(a.abs().max().item(), floor)
        assert not (a - b).abs().max().item() > tolerance * scale, (a.shape, (a - b).abs().max().item() / scale)
        assert b.isfinite().all()


@settings(max_examples=2, deadline=None, phases=[Phase.generate])  # the interpreter is too slow to shrink
@given(
    channels=st.integers(2, 5).map(lambda half: 2 * half) | st.just(20),
    candidates=st.permutations(DARTS_PRIMITIVES),
    nodes_and_candidates=st.sampled_from([(1, 8), (1, 1), (2, 3), (3, 2), (4, 1), (5, 1)]),
    inputs=st.integers(1, 2),
    stride=st.integers(1, 2),
    batch=st.integers(1, 3),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4))
    | st.tuples(st.integers(1, 17), st.just(1))
    | st.tuples(st.just(1), st.integers(1, 17)),
    seed=st.integers(0, 9),
)
def test_any_graph(candidates, nodes_and_candidates, **drawn):
    """As many edges leave the first state as there are nodes."""
    drawn["nodes"], count = nodes_and_candidates
    drawn["candidates"] = candidates[:count]
    if drawn["batch"] * drawn["size"][0] * drawn["size"][1] < 8:
        drawn["batch"] = 8  # BatchNorm of one pixel a channel is NaN in PyTorch
    assert_equal(*graph_and_inputs(**drawn), floor=1)


def test_a_node_without_terms():
    assert_equal(*graph_and_inputs(4, ["none"], nodes=2, size=(2, 4)))
    allowed = [["none"], ["none"], *[["none", "sep_conv_3x3"]] * 3]
    assert_equal(*graph_and_inputs(4, KNOWN[:9], allowed=allowed))


def test_any_subset():
    allowed = [KNOWN[row % 4 : row % 4 + 3 + row % 3] for row in range(5)]
    assert_equal(*graph_and_inputs(4, KNOWN[:9], allowed=allowed))
    assert_equal(*graph_and_inputs(4, KNOWN[:9], nodes=1, stride=2, allowed=allowed[:2]))


@pytest.mark.parametrize("stride", [1, 2])
def test_gates_of_zero(stride):
    graph, states, gates = graph_and_inputs(stride=stride, nodes=1)
    kept = torch.rand(gates.shape, generator=torch.Generator().manual_seed(stride)) < 0.4
    assert_equal(graph, states, gates * kept)
    for chosen in ([4, 1], [3, 6])[stride - 1 :]:
        one_hot = torch.nn.functional.one_hot(torch.tensor(chosen), len(DARTS_PRIMITIVES)).double()
        assert_equal(graph, states, one_hot)


@pytest.mark.parametrize("stride", [1, 2])
def test_partial_channels(stride):
    graph, states, gates = graph_and_inputs(8, CHEAP, stride=stride, size=(5, 6), partial=4)
    assert_equal(graph, states, gates, torch.rand(len(gates), dtype=torch.float64))
    assert_equal(graph, states, gates)


@pytest.mark.parametrize("stride", [1, 2])
def test_auxiliary_skips(stride):
    graph, states, gates = graph_and_inputs(4, CHEAP, nodes=3 - stride, stride=stride)
    add_auxiliary_skips(graph)
    graph.double()
    edges, skip = torch.rand(2, len(gates), dtype=torch.float64)
    assert_equal(graph, states, gates, None, skip)
    assert_equal(graph, states, gates, edges, skip)


def test_nasbench201():
    assert_equal(*graph_and_inputs(3, NASBENCH201_OPS, 1, 3, make=supernet_op))


def test_layouts():
    graph, states, gates = graph_and_inputs(4, CHEAP, nodes=1, size=(6, 6))
    last = [s.contiguous(memory_format=torch.channels_last) for s in states]
    assert_equal(graph, last, gates)
    apart = [s.repeat(2, 2, 1, 2)[::2, ::2, :, ::2] for s in states]
    assert not apart[0].is_contiguous()
    assert_equal(graph, apart, gates)


@pytest.mark.parametrize("storage, tolerance", [(torch.float16, 0.02), (torch.float32, 2e-5)])
def test_storage(storage, tolerance):
    """Errors relative to the RMS of the reference in float64. The interpreter cannot multiply bfloat16."""
    graph, states, gates = graph_and_inputs(16, nodes=1)
    exact = run(graph, states, gates, "reference")
    low = copy.deepcopy(graph).float()
    found = run(low, [s.to(storage) for s in states], gates.float(), "fused")
    count = 1 + len(states) + 1
    for a, b in zip(exact[:count], found[:count], strict=True):
        assert (a - b.double()).square().mean().sqrt() <= tolerance * a.square().mean().sqrt(), a.shape


def test_fake_tensors():
    graph, states, gates = graph_and_inputs(4, CHEAP)
    images = [s.permute(0, 2, 3, 1).contiguous() for s in states]
    params, buffers = flat_tensors(graph, False)
    arguments = images, gates, gates[:, 0], [p.detach() for p in params], buffers, describe(graph), True
    torch.library.opcheck(mixed_graph, arguments, test_utils=("test_schema", "test_faketensor"))
    real = graph_forward(*arguments)
    with torch._subclasses.FakeTensorMode() as mode:
        fake = [[mode.from_tensor(t) for t in a] if isinstance(a, list) else a for a in arguments]
        fake = [mode.from_tensor(a) if isinstance(a, torch.Tensor) else a for a in fake]
        shapes = mixed_graph(*fake)
    assert [(t.shape, t.dtype, t.stride()) for t in real] == [(t.shape, t.dtype, t.stride()) for t in shapes]


def test_eight_steps():
    space = DARTSSpace(ImageShape(3, 4, 10), channels=2, layers=2, nodes=1, candidates=CHEAP, stem="cifar")
    (curve, chosen), (other, columns) = steps_of(space, ("reference", "fused"), 4, dtype=torch.float64, steps=8)
    torch.testing.assert_close(other, curve, rtol=1e-8, atol=0)
    assert columns.equal(chosen) and curve.std() > 0.02


def test_seen_through_by_the_compiler():
    """One graph, forward and backward, with no break at the fused operator."""
    graph, states, gates = graph_and_inputs(4, CHEAP, nodes=1)
    graph.backend = "fused"
    gates.requires_grad_()
    compiled = torch.compile(lambda *given: graph(*given)[-1].square().sum(), backend="aot_eager", fullgraph=True)
    values, grads = [], []
    for call in (compiled, lambda *given: graph(*given)[-1].square().sum()):
        values.append(call(states, gates))
        grads.append(torch.autograd.grad(values[-1], gates)[0])
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(grads[0], grads[1])
