"""Whole graphs by compiled kernels, interpreted and watched, against the reference in float64."""

import copy
import itertools

import pytest
import torch

from supernet.fused.cuda import library
from supernet.fused.rows import NORMALIZED, ConvRow, TermRow
from supernet.fused.verification import GRADIENTS, MEDIANS, NODES, compare, median_error, relative_error
from supernet.mixed.graph import MixedGraph
from supernet.mixed.source import add_auxiliary_skips
from supernet.spaces.darts import DARTS_PRIMITIVES

launches = pytest.importorskip("supernet.fused.ptx.launches", reason="Triton is not installed")
combine = pytest.importorskip("supernet.fused.combine")
pools_forward = pytest.importorskip("supernet.fused.shared.pools").pools_forward
recorded = pytest.importorskip("supernet.fused.launch").recorded
table_of = pytest.importorskip("supernet.fused.tables").table_of
arguments_of = pytest.importorskip("supernet.fused.traffic").arguments_of
graphs = pytest.importorskip("tests.supernet.fused.ptx.graphs", reason="Triton is not installed")

CONVOLUTIONS = {"convs_forward", "half_gradient", "state_gradient", "weight_gradients"}


@pytest.mark.parametrize(
    "storage, shared, candidates, nodes, stride, size",
    [
        pytest.param(
            torch.bfloat16, 232_448,
            ("max_pool_3x3", "skip_connect", "sep_conv_5x5", "dil_conv_3x3"), 1, 1, (8, 16),
            marks=pytest.mark.skipif(library._nvrtc() is None, reason="NVRTC is not installed"), id="cuda",
        ),
        pytest.param(
            torch.float16, 232_448,
            ("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3"), 2, 2, (8, 16),
            marks=pytest.mark.skipif(library._nvrtc() is None, reason="NVRTC is not installed"), id="cuda, stride 2",
        ),
        pytest.param(
            torch.float32, 0, ("avg_pool_3x3", "skip_connect", "sep_conv_3x3", "none"), 1, 2, (7, 5), id="triton"
        ),
    ],
)  # fmt: skip
def test_equals_the_reference(storage, shared, candidates, nodes, stride, size):
    torch.utils.deterministic.fill_uninitialized_memory = True  # with NaN, under deterministic algorithms
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with launches.interpreted(watch=True, shared_bytes=shared) as executed:
            found, expected = graphs.computed_and_exact(storage, candidates, 16, nodes, stride, 3, size)
    finally:
        torch.use_deterministic_algorithms(False)
    assert CONVOLUTIONS & {one.name for one in executed} == (CONVOLUTIONS if shared else set())
    counters = [given["counters"] for one in executed if "counters" in (given := arguments_of(one.launch))]
    assert counters and not any(own.any() for own in counters), "those of a row whose gate is 0 too"
    for index, (b, a) in enumerate(zip(found, expected, strict=True)):
        assert b.isfinite().all()
        tolerance = GRADIENTS[storage] if index >= nodes else NODES[storage]
        assert relative_error(b, a) <= tolerance or (a - b).abs().max() < 1e-6, (index, a.shape)
        if index >= nodes:
            assert median_error(b, a) <= MEDIANS[storage] or (a - b).abs().max() < 1e-6, (index, a.shape)


@pytest.mark.skipif(not library.can_compile(), reason="NVRTC is not installed")
def test_auxiliary_skips_of_stride_2():
    """With them a launch of DARTS's cells has six kinds of convolutions, two of them factorized reductions."""
    torch.manual_seed(0)
    graph = MixedGraph(16, DARTS_PRIMITIVES, 2, 1, 2)
    add_auxiliary_skips(graph)
    states = [torch.randn(2, 16, 16, 16).half() for _ in range(2)]
    gates, skip = torch.rand(2, len(DARTS_PRIMITIVES)), torch.rand(2)
    exact, graph.backend = copy.deepcopy(graph).double(), "fused"
    exact.backend = "reference"
    with launches.interpreted(watch=True, shared_bytes=232_448) as executed:
        found = graph(states, gates, skip=skip)[2]
    expected = exact([state.double() for state in states], gates.double(), skip=skip.double())[2]
    assert "convs_forward" in {one.name for one in executed}
    assert relative_error(found, expected) <= NODES[torch.float16]


@pytest.mark.skipif(not library.can_compile(), reason="NVRTC is not installed")
@pytest.mark.parametrize("with_halves", [(0,), (1,), (0, 1)])
def test_halves_of_both_inputs(with_halves):
    """One launch computes the first, another the second ones."""
    candidates = ("skip_connect", "sep_conv_3x3")
    graph = MixedGraph(
        16, candidates, 2, 1, allowed=[candidates if i in with_halves else candidates[:1] for i in (0, 1)]
    )
    states, gates = [torch.randn(1, 16, 8, 8).bfloat16() for _ in range(2)], torch.rand(2, 2) + 0.1
    with launches.interpreted(watch=True, shared_bytes=232_448) as executed:
        found, expected = compare(graph, "fused", states, gates)
    names = [one.name for one in executed]
    assert names.count("half_gradient") == 1
    assert names.count("convs_forward") == 2 and names.count("state_gradient") == 1
    for b, a in zip(found, expected, strict=True):
        assert median_error(b, a) <= MEDIANS[torch.bfloat16] or (a - b).abs().max() < 1e-6, a.shape


@pytest.mark.parametrize("partial", [1, 2])
@pytest.mark.parametrize("shared", [0, 232_448] if library.can_compile() else [0])
def test_a_graph_of_which_one_node_is_read(shared, partial):
    """No gradient arrives at the others from outside, and one that does is refused."""
    candidates = ("sep_conv_3x3", "skip_connect", "avg_pool_3x3")
    graph = MixedGraph(16 * partial, candidates, 1, 3, outputs=1, partial=partial)
    state, gates = torch.randn(2, 16 * partial, 8, 8).bfloat16(), torch.rand(6, 3)
    exact, graph.backend = copy.deepcopy(graph).double(), "fused"
    exact.backend, weights = "reference", torch.randn(2, 16 * partial, 8, 8)

    def differentiated(graph, *leaves):
        leaves = [leaf.clone().requires_grad_() for leaf in leaves]
        states = graph([leaves[0]], leaves[1])
        loss = (states[-1] * weights.to(leaves[0].dtype)).sum()
        return [*states, *torch.autograd.grad(loss, [*leaves, *graph.parameters()])]

    with launches.interpreted(watch=True, shared_bytes=shared):
        found = differentiated(graph, state, gates)
        with pytest.raises(RuntimeError, match="not among the graph's outputs"):
            graph([state.requires_grad_()], gates)[1].sum().backward()
    expected = differentiated(exact, state.detach().double(), gates.double())
    for index, (b, a) in enumerate(zip(found, expected, strict=True)):
        tolerance = GRADIENTS[torch.bfloat16] if index > 3 else NODES[torch.bfloat16]
        assert relative_error(b, a) <= tolerance or (a - b).abs().max() < 1e-6, (index, a.shape)


@pytest.mark.parametrize("shared", [0, 232_448] if library.can_compile() else [0])
def test_what_is_not_a_number_is_not_hidden_by_a_relu(shared):
    graph = MixedGraph(16, ("dil_conv_3x3",), 2, 1, backend="fused")
    states = [torch.randn(1, 16, 8, 8).bfloat16() for _ in range(2)]
    states[0][0, 3, 4, 5] = torch.nan
    with launches.interpreted(shared_bytes=shared) as executed:
        node = graph(states, torch.ones(2, 1))[2]
    assert ("convs_forward" in {one.name for one in executed}) == bool(shared)
    assert node.isnan().all(), "BatchNorm's statistics are over all pixels"


def test_every_instruction_is_of_a_class():
    with launches.interpreted(shared_bytes=0) as executed:
        graphs.computed_and_exact(torch.float32, ("skip_connect",), 16, 1, 1, 1, (2, 2))
    assert executed and all(sum(one.by_class().values()) == one.instructions > 0 for one in executed)


def test_the_same_bits_whichever_program_is_last():
    """Statistics of pools, and coefficients of a term, by programs in either order; a gate of 0 and no counter left."""
    torch.manual_seed(0)
    device, gates = torch.device("cpu"), torch.tensor([0.5, 0.0])
    x, pools = torch.randn(8, 9, 8, 16), torch.empty(2, 8 * 72, 16)
    where, counters = torch.empty(1, 8 * 72, 16, dtype=torch.uint8), torch.zeros(2, dtype=torch.int32)
    places = table_of([ConvRow(0, 0, -1, 0, 0, 0), ConvRow(1, 0, -1, 1, 0, 0), ConvRow(0, 1, -1, 2, 1, 0)], device)
    statistics, coefficients, gate_grads = torch.empty(3, 3, 16), torch.empty(3, 3, 16), torch.empty(2)
    terms = table_of([TermRow(NORMALIZED, 0, 0, 0, 0, 0), TermRow(NORMALIZED, 1, 0, 1, 1, 0)], device)
    idle, (mean, rstd, _) = torch.empty(0, dtype=torch.int32), statistics
    with recorded() as recordings:
        pools_forward([x], pools, where, 1, places, gates, statistics.unbind(), counters, True)
        of_node = combine.Terms((), pools, pools, mean, rstd, terms, gates, range(2))
        combine.combine_coefficients(pools[0], None, of_node, coefficients, gate_grads, idle, counters, True)
    results = []
    for step in (1, -1):
        for kept in (statistics, coefficients, gate_grads):
            kept.fill_(torch.nan)
        for launch in recordings:
            blocks = [*itertools.product(*map(range, (*launch.grid, 1)[:3]))]
            launches.run(launch, watch=True, blocks=blocks[::step])
            assert len(blocks) > 1 and not counters.any()
        results.append([kept.clone() for kept in (statistics[:, :2], coefficients[:, :2], gate_grads)])
        assert statistics[:, 2].isnan().all() and not coefficients[:, 1].any() and gate_grads[1] == 0
    for first, second in zip(*results, strict=True):
        assert first.equal(second) and first.isfinite().all()
