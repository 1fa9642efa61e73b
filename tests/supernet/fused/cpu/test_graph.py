"""Mixed graphs by C++ functions: threads, large batches, memory, NaN; ``tests.supernet.mixed`` has their values."""

import gc
import weakref

import pytest
import torch

from supernet.fused import verification
from supernet.fused.cpu import library
from supernet.fused.cpu.tensors import GraphTensors
from supernet.fused.verification import verify, verify_layers
from supernet.mixed import backends
from supernet.mixed.graph import MixedGraph, mixed_graphs
from supernet.ops import OPS, Operation, SepConv
from supernet.shapes import ImageShape
from supernet.spaces.darts import DARTS_PRIMITIVES
from supernet.spaces.darts.space import DARTSSpace
from supernet.spaces.nasbench201 import NASBench201Space
from tests.supernet.mixed.test_graph import assert_equal, graph_and_inputs, run

pytestmark = pytest.mark.skipif(library.reason() is not None, reason="needs a C++ compiler")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_said():
    backends._warn_once.cache_clear()


@pytest.mark.parametrize("storage", [torch.float64, torch.float32])
@pytest.mark.parametrize("channels", [3, 8, 10, 16, 20, 36, 64])
def test_every_width_of_vectors(channels, storage):
    found = verify("fused", CPU, storage, channels=channels, size=(6, 7))
    assert found.passed, found


def test_larger_kernels_are_pytorchs(monkeypatch):
    monkeypatch.setitem(OPS, "sep_conv_9x9", Operation(lambda c, stride, affine: SepConv(c, 9, stride, affine)))
    graph, states, gates = graph_and_inputs(4, ("sep_conv_9x9", "max_pool_3x3"), nodes=1, size=(9, 9))
    graph.backend = "fused"
    with pytest.warns(RuntimeWarning, match="a candidate operation has no kernel; batched serves instead"):
        graph(states, gates)


@pytest.mark.parametrize("storage", [torch.float64, torch.float32])
def test_layers_equal_pytorchs(storage):
    assert verify_layers(CPU, storage).passed


def test_kernels_of_7x7_and_more_images_than_parts():
    names = ("sep_conv_7x7", "dil_conv_3x3", "max_pool_3x3")
    graph, states, gates = graph_and_inputs(18, names, nodes=2, batch=37, size=(4, 3))
    assert_equal(run(graph, states, gates, "fused"), run(graph, states, gates, "reference"))


def test_a_node_without_terms():
    graph, states, gates = graph_and_inputs(4, ("none", "skip_connect"), nodes=2)
    gates[:, 1] = 0
    assert_equal(run(graph, states, gates, "fused"), run(graph, states, gates, "reference"))


def test_the_same_bits_for_any_number_of_threads():
    graph, states, gates = graph_and_inputs(12, nodes=2, batch=43, size=(12, 11))
    graph, states, gates = graph.float(), [state.float() for state in states], gates.float()
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(run(graph, states, gates, "fused"))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_gradients_of_weights_only_where_they_are_wanted():
    graph, states, gates = graph_and_inputs(8, nodes=1)
    graph.backend = "fused"
    graph.requires_grad_(False)
    gates.requires_grad_()
    graph(states, gates)[-1].square().sum().backward()
    assert gates.grad.abs().sum() > 0 and all(parameter.grad is None for parameter in graph.parameters())


def test_nan_is_not_hidden():
    graph, states, gates = graph_and_inputs(8, nodes=1)
    graph.backend = "fused"
    states[0][0, 0, 0, 0] = float("nan")
    assert graph(states, gates)[-1].isnan().any()


def test_what_is_kept_for_the_backward_pass_is_freed_with_the_result(monkeypatch):
    graph, states, gates = graph_and_inputs(8, nodes=2)
    graph.backend, kept = "fused", []
    new_plane = GraphTensors.new_plane

    def remember(run, number):
        plane = new_plane(run, number)
        kept.append(weakref.ref(plane))
        return plane

    monkeypatch.setattr(GraphTensors, "new_plane", remember)
    node = graph(states, gates.requires_grad_())[-1]
    assert kept and all(plane() is not None for plane in kept)
    gc.disable()
    try:
        del node
        assert all(plane() is None for plane in kept)
    finally:
        gc.enable()


def test_without_a_backward_pass_planes_are_freed_as_they_are_read(monkeypatch):
    graph, states, gates = graph_and_inputs(8, nodes=3)
    graph.backend, kept, counts = "fused", [], []
    new_plane = GraphTensors.new_plane

    def remember(run, number):
        plane = new_plane(run, number)
        kept.append(weakref.ref(plane))
        counts.append(sum(plane() is not None for plane in kept))
        return plane

    expected = graph(states, gates)[-1]
    monkeypatch.setattr(GraphTensors, "new_plane", remember)
    with torch.no_grad():
        assert torch.equal(graph(states, gates)[-1], expected)
    assert max(counts) < 0.7 * len(kept)


def test_operations_without_a_function_are_batched():
    torch.manual_seed(0)
    graph = MixedGraph(4, ("conv_7x1_1x7", "nor_conv_3x3"), 1, 1, 2, backend="fused")
    assert set(graph.candidates) <= OPS.keys()
    with pytest.warns(RuntimeWarning, match="a candidate operation has no kernel; batched serves instead"):
        graph([torch.randn(2, 4, 6, 6)], torch.rand(1, 2))


def test_auto_is_fused_on_a_cpu_and_not_in_bfloat16(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    space = DARTSSpace(ImageShape(3, 8, 10), channels=4, layers=2, nodes=1)
    for storage, backend in ((torch.bfloat16, "batched"), (torch.float32, "fused")):
        network = space.supernet()
        verification.prefer_fused(network, CPU, storage)
        assert {graph.backend for graph in mixed_graphs(network)} == {backend}
    network = NASBench201Space(ImageShape(3, 8, 10), channels=4, layers=1).supernet()
    verification.prefer_fused(network, CPU, torch.float32)
    assert {graph.backend for graph in mixed_graphs(network)} == {"batched"}


def test_all_candidates_of_darts_are_computed_by_functions(recwarn):
    graph, states, gates = graph_and_inputs(4, DARTS_PRIMITIVES, nodes=2, stride=2)
    graph.backend = "fused"
    graph(states, gates)
    assert not [warning for warning in recwarn if "batched serves" in str(warning.message)]
