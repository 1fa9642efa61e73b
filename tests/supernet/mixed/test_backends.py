"""The table of backends: unknown ones are refused, a fallback is said once and names its reason."""

import warnings

import pytest
import torch
from torch import nn

from supernet.errors import SpaceError
from supernet.mixed import backends
from supernet.mixed.graph import MixedGraph
from supernet.mixed.source import add_auxiliary_skips
from supernet.network import DropPath
from supernet.ops import OPS, Operation
from supernet.shapes import LanguageShape, TextShape
from supernet.spaces import SPACES
from supernet.spaces.space import SpaceOptions

CANDIDATES = ("none", "skip_connect", "dil_conv_3x3")


@pytest.fixture(autouse=True)
def nothing_said():
    backends._warn_once.cache_clear()


@pytest.fixture
def with_kernels(monkeypatch):
    """As if a GPU computed."""
    monkeypatch.setattr(backends, "_unavailable", lambda device: None)
    monkeypatch.setattr(backends, "_by_triton", lambda device: True)


def graphs(candidates=CANDIDATES):
    torch.manual_seed(0)
    fused, batched = (MixedGraph(4, candidates, 2, 1, backend=backend) for backend in ("fused", "batched"))
    batched.load_state_dict(fused.state_dict())
    return fused, batched


INPUTS = [torch.randn(2, 4, 6, 6) for _ in range(2)], torch.rand(2, len(CANDIDATES))


def assert_falls_back(reason, networks, *options, times=3, **named):
    """All calls give what ``batched`` gives, and one warning says so."""
    fused, batched = networks
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(times):
            torch.manual_seed(1)
            nodes = fused(*INPUTS, *options, **named)
            torch.manual_seed(1)
            assert all(torch.equal(a, b) for a, b in zip(nodes, batched(*INPUTS, *options, **named), strict=True))
    assert [str(warning.message) for warning in caught] == [
        f"the fused backend cannot be used: {reason}; batched serves instead"
    ]


def test_unknown_backends_are_refused_with_the_names():
    message = "`space.backend` is 'btched'; it must be one of reference, batched, fused"
    with pytest.raises(SpaceError, match=message):
        MixedGraph(4, CANDIDATES, 2, 1, backend="btched")
    graph, _ = graphs()
    graph.backend = "btched"
    with pytest.raises(SpaceError, match=message):
        graph(*INPUTS)
    with pytest.raises(SpaceError, match=message):
        SPACES["recurrent"].make(SpaceOptions(LanguageShape(9), channels=4)).supernet("btched")


def test_without_triton_or_a_compiler(monkeypatch):
    monkeypatch.setattr(backends, "_unavailable", lambda device: "the package triton is not installed")
    assert_falls_back("the package triton is not installed", graphs())


def test_bfloat16_on_a_cpu(monkeypatch):
    monkeypatch.setattr(backends, "_unavailable", lambda device: None)
    monkeypatch.setattr(backends, "_by_triton", lambda device: False)
    with torch.autocast("cpu", torch.bfloat16):
        assert_falls_back("on a CPU it computes in float32 and float64", graphs())


def test_dropped_edges(with_kernels):
    assert_falls_back("edges or skip connections are dropped", graphs(), drop_path=DropPath(0.5))


def test_biases(with_kernels):
    assert_falls_back("a bias is added to every edge", graphs(), bias=torch.rand(2))


def test_convolutions_as_auxiliary_skips(with_kernels):
    networks = graphs()
    for network in networks:
        add_auxiliary_skips(network, convolution=True)
    assert_falls_back("auxiliary skips are convolutions", networks, skip=torch.rand(2))


def test_an_operation_without_a_kernel(with_kernels, monkeypatch):
    monkeypatch.setitem(OPS, "tanh", Operation(lambda c, stride, affine: nn.Tanh()))
    assert_falls_back("a candidate operation has no kernel", graphs(("none", "skip_connect", "tanh")))


def test_the_recurrent_cell():
    space = SPACES["recurrent"].make(SpaceOptions(LanguageShape(9), channels=4))
    with pytest.warns(RuntimeWarning, match="the recurrent cell has no kernels; batched serves instead"):
        assert space.supernet("fused").cell.backend == "batched"


def test_a_model_with_choices():
    space = SPACES["textnet"].make(SpaceOptions(TextShape(9, 5, 3), channels=4, layers=1))
    with pytest.raises(SpaceError, match="must be one of reference, batched, fused"):
        space.supernet("btched")
    with pytest.warns(RuntimeWarning, match="a model with choices has no kernels; PyTorch serves instead"):
        space.supernet("fused")


def test_a_compiled_graph_falls_back_too(monkeypatch):
    monkeypatch.setattr(backends, "_unavailable", lambda device: None)
    monkeypatch.setattr(backends, "_by_triton", lambda device: False)
    fused, batched = graphs()
    with pytest.warns(RuntimeWarning, match="batched serves instead"):
        compiled = torch.compile(fused, backend="eager", fullgraph=False)
        nodes = compiled(*INPUTS)
    assert all(torch.equal(a, b) for a, b in zip(nodes, batched(*INPUTS), strict=True))


def test_the_compilers_mark_of_constants_is_pytorchs():
    """The mark is set without importing the compiler; PyTorch's own function sets the same."""

    def ours():
        pass

    def theirs():
        pass

    backends.constant(ours)
    torch.compiler.assume_constant_result(theirs)
    assert ours.__dict__ == theirs.__dict__
