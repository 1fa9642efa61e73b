"""A backend is compared with the reference where it runs, and ``auto`` uses the fused one only where it is equal."""

import pytest
import torch

from supernet.fused import verification
from supernet.fused.verification import (
    MEDIANS,
    Verification,
    compare,
    median_error,
    prefer_fused,
    relative_error,
    verify,
)
from supernet.mixed.backends import BACKENDS, BackendRow
from supernet.mixed.graph import MixedGraph
from supernet.shapes import ImageShape
from supernet.spaces.darts import DARTS_PRIMITIVES
from supernet.spaces.darts.space import DARTSSpace

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize("storage", [torch.float64, torch.float32])
def test_batched_equals_the_reference(storage):
    before = torch.random.get_rng_state()
    found = verify("batched", CPU, storage, channels=4)
    assert found.passed and found.nodes > 0, found
    assert before.equal(torch.random.get_rng_state())


def test_inputs_are_rounded_before_they_are_compared(monkeypatch):
    """In bfloat16 many values tie. A backend that computes exactly, on what it is given, has no error."""

    def exact(source, x, gates):
        return [y.to(x.dtype) for y in BACKENDS["reference"].edge_outputs(source.double(), x.double(), gates.double())]

    monkeypatch.setitem(BACKENDS, "batched", BackendRow(exact))
    found = verify("batched", CPU, torch.float32, channels=4)
    assert found.nodes < 1e-6 and found.gradients < 1e-5


def test_float32_has_no_more_digits():
    """Where a gradient is a small difference of large sums, PyTorch's own operations miss the bound on medians."""
    torch.manual_seed(0)
    graph = MixedGraph(64, DARTS_PRIMITIVES, 2, 4)
    states, gates = [torch.randn(1, 64, 33, 31) for _ in range(2)], torch.rand(14, len(DARTS_PRIMITIVES))
    pairs = list(zip(*compare(graph, "reference", states, gates), strict=True))[graph.nodes :]
    assert MEDIANS[torch.float32] < max(median_error(*pair) for pair in pairs) < 1e-4


@pytest.mark.parametrize("factor", [1.001, float("nan"), float("inf")])
def test_a_wrong_backend_fails(monkeypatch, factor):
    right = BACKENDS["batched"].edge_outputs
    wrong = BackendRow(lambda source, x, gates: [factor * y for y in right(source, x, gates)])
    monkeypatch.setitem(BACKENDS, "batched", wrong)
    assert not verify("batched", CPU, torch.float32, channels=4).passed


class Inexact(torch.autograd.Function):
    """The value itself; its gradient to ten bits, as TF32 has them."""

    @staticmethod
    def forward(ctx, y):
        return y.clone()

    @staticmethod
    def backward(ctx, grad):
        return (grad.view(torch.int32) & ~0x1FFF).view(torch.float32)


def test_gradients_of_fewer_bits_fail(monkeypatch):
    """By their median: their RMS is below that of a single flip of a ReLU."""
    right = BACKENDS["batched"].edge_outputs
    inexact = BackendRow(lambda source, x, gates: [Inexact.apply(y) for y in right(source, x, gates)])
    monkeypatch.setitem(BACKENDS, "batched", inexact)
    found = verify("batched", CPU, torch.float32, channels=4)
    assert not found.passed and found.nodes < 1e-6 and found.gradients < 1e-2


def test_an_error_that_is_not_finite_is_the_largest():
    found = torch.tensor([1.0, float("nan")])
    assert relative_error(found, torch.ones(2)) == float("inf")


def backends_of(network):
    return {module.backend for module in network.modules() if isinstance(module, MixedGraph)}


@pytest.fixture
def network(monkeypatch):
    monkeypatch.setattr(verification, "unavailable", lambda device: None)
    verification._failure.cache_clear()
    yield DARTSSpace(ImageShape(3, 8, 10), channels=4, layers=2, nodes=1).supernet()
    verification._failure.cache_clear()


def test_auto_is_fused_where_the_kernels_equal_the_reference(network, monkeypatch):
    calls = []

    def passes(*given, **options):
        calls.append(given)
        return Verification(1e-7, 1e-6, 1e-7, True)

    monkeypatch.setattr(verification, "verify", passes)
    monkeypatch.setattr(verification, "verify_layers", passes)
    prefer_fused(network, CPU, torch.bfloat16)
    assert backends_of(network) == {"batched"} and not calls
    for _ in range(2):
        prefer_fused(network, GPU, torch.bfloat16)
    assert backends_of(network) == {"fused"} and calls == [("fused", GPU, torch.bfloat16), (GPU, torch.bfloat16)]


def test_auto_is_batched_where_the_layers_differ(network, monkeypatch):
    monkeypatch.setattr(verification, "verify", lambda *given, **options: Verification(1e-7, 1e-6, 1e-7, True))
    monkeypatch.setattr(verification, "verify_layers", lambda *given: Verification(0.6, 2.0, 0.1, False))
    with pytest.warns(RuntimeWarning, match="on this GPU they differ from the reference"):
        prefer_fused(network, GPU, torch.bfloat16)
    assert backends_of(network) == {"batched"}


@pytest.mark.parametrize("raises", [False, True])
def test_auto_is_batched_where_they_do_not(network, monkeypatch, raises):
    def fails(*given, **options):
        if raises:
            raise RuntimeError("no kernel image is available for execution on the device")
        return Verification(0.5, 2.0, 0.1, False)

    monkeypatch.setattr(verification, "verify", fails)
    reason = "no kernel image" if raises else "largest error 5.0e-01 of nodes"
    with pytest.warns(RuntimeWarning, match=f"fused backend cannot be used: on this GPU .*{reason}"):
        prefer_fused(network, GPU, torch.float32)
    assert backends_of(network) == {"batched"}
