"""Whole graphs by compiled kernels, interpreted and watched, against the reference in float64."""

import copy

import pytest
import torch

from supernet.fused.cuda import library
from supernet.fused.verification import GRADIENTS, MEDIANS, NODES, median_error, relative_error
from supernet.mixed.graph import MixedGraph
from supernet.mixed.source import add_auxiliary_skips
from supernet.spaces.darts import DARTS_PRIMITIVES

launches = pytest.importorskip("supernet.fused.ptx.launches", reason="Triton is not installed")
graphs = pytest.importorskip("tests.supernet.fused.ptx.graphs", reason="Triton is not installed")

CONVOLUTIONS = {"convs_forward", "half_gradient", "state_gradient", "weight_gradients"}


@pytest.mark.parametrize(
    "storage, shared, candidates, stride, size",
    [
        pytest.param(
            torch.bfloat16, 232_448,
            ("max_pool_3x3", "skip_connect", "sep_conv_5x5", "dil_conv_3x3"), 1, (8, 16),
            marks=pytest.mark.skipif(library._nvrtc() is None, reason="NVRTC is not installed"), id="cuda",
        ),
        pytest.param(torch.float32, 0, ("avg_pool_3x3", "skip_connect", "sep_conv_3x3"), 2, (7, 5), id="triton"),
    ],
)  # fmt: skip
def test_equals_the_reference(storage, shared, candidates, stride, size):
    torch.utils.deterministic.fill_uninitialized_memory = True  # with NaN, under deterministic algorithms
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with launches.interpreted(watch=True, shared_bytes=shared) as executed:
            found, expected = graphs.computed_and_exact(storage, candidates, 16, 1, stride, 3, size)
    finally:
        torch.use_deterministic_algorithms(False)
    assert CONVOLUTIONS & {one.name for one in executed} == (CONVOLUTIONS if shared else set())
    for index, (b, a) in enumerate(zip(found, expected, strict=True)):
        assert b.isfinite().all()
        tolerance = GRADIENTS[storage] if index else NODES[storage]
        assert relative_error(b, a) <= tolerance or (a - b).abs().max() < 1e-6, (index, a.shape)
        if index:
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


def test_every_instruction_is_of_a_class():
    with launches.interpreted(shared_bytes=0) as executed:
        graphs.computed_and_exact(torch.float32, ("skip_connect",), 16, 1, 1, 1, (2, 2))
    assert executed and all(sum(one.by_class().values()) == one.instructions > 0 for one in executed)
