"""The CUDA kernels of nodes, as compiled code, against their definitions."""

import itertools

import pytest
import torch

from supernet.fused import naive
from supernet.fused.cuda import library
from supernet.fused.rows import NORMALIZED, PLAIN, STATE, TermRow

launches = pytest.importorskip("supernet.fused.ptx.launches", reason="Triton is not installed")
nodes = pytest.importorskip("supernet.fused.cuda.nodes")
Terms = pytest.importorskip("supernet.fused.combine").Terms
recorded = pytest.importorskip("supernet.fused.launch").recorded
table_of = pytest.importorskip("supernet.fused.tables").table_of

pytestmark = pytest.mark.skipif(not library.can_compile(), reason="NVRTC is not installed")

CPU = torch.device("cpu")
STATES = [TermRow(STATE, -1, number, -1, gate, 1) for gate, number in enumerate((-1, -2, 1))]
PLANES = [TermRow(PLAIN if place == 2 else NORMALIZED, place, 0, 4 - place, 3 + place, 1) for place in range(5)]
TERMS = [*PLANES[:2], *STATES, *PLANES[2:]]
GATES = torch.tensor([0.5, 0, 1.25, 0.75, 0, 0.3, 0, 0, 9.0, 9.0])
"""Of the last group of three terms, none but one is not 0; the last two belong to no term of the node."""


def given(channels, storage, pixels):
    torch.manual_seed(0)
    inputs, states = [torch.randn(pixels, channels).to(storage) for _ in range(2)], torch.randn(2, pixels, channels)
    planes = (torch.randn(5, pixels, channels) * 2 + 3).to(storage)
    statistics = planes.float().mean(1), planes.float().var(1).rsqrt()
    for place in (3, 4):  # of gates that are 0: never written
        planes[4 - place], statistics[0][place], statistics[1][place] = torch.nan, torch.nan, torch.nan
    planes[3] = torch.nan  # that of the second place, too
    return inputs, states.to(storage), planes, statistics


def exact(tensors):
    return [tensor.double() for tensor in tensors]


@pytest.mark.parametrize("channels, storage", [(16, torch.bfloat16), (32, torch.float16), (64, torch.bfloat16)])
def test_a_node(channels, storage):
    pixels = 3 * 2048 // channels + 5
    inputs, states, planes, statistics = given(channels, storage, pixels)
    exactly = exact(inputs), states.double(), planes.double(), exact(statistics)
    expected = naive.combine_forward(*exactly, TERMS, GATES.double())
    terms = Terms(tuple(inputs), states, planes, *statistics, table_of(TERMS, CPU), GATES, range(8))
    for kept, beside in ((True, True), (True, False), (False, True)):
        found, others = torch.zeros(pixels, channels).to(storage), torch.zeros(pixels, 3, channels).to(storage)
        to = found if kept else None, others[:, 1] if beside else None
        with launches.interpreted(watch=True, shared_bytes=232_448) as executed:
            nodes.combine_forward(*to, terms)
        assert [one.name for one in executed] == ["combine"]
        for tensor, wanted in ((found, kept), (others[:, 1], beside)):
            torch.testing.assert_close(tensor.double(), wanted * expected, atol=0.02, rtol=0.01)
        assert not others[:, ::2].any()


@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("channels, storage", [(16, torch.bfloat16), (32, torch.float16), (64, torch.bfloat16)])
def test_coefficients(channels, storage, arrives):
    """In training and in evaluation, whichever block is last; a node that no edge leaves is copied."""
    pixels = 2 * 2048 // channels + 7
    inputs, states, planes, statistics = given(channels, storage, pixels)
    grad = torch.randn(pixels, 3, channels).to(storage)[:, 1]
    exactly = grad.double(), exact(inputs), states.double(), planes.double(), exact(statistics)
    defined = naive.combine_sums(*exactly, TERMS, GATES.double())
    counters, idle = torch.zeros(len(TERMS), dtype=torch.int32), torch.tensor([9], dtype=torch.int32)
    for training in (True, False):
        coefficients, gate_grads = torch.full((3, 5, channels), torch.nan), torch.full((10,), torch.nan)
        grads, arriving = (torch.full_like(grad, torch.nan), grad) if arrives else (grad.contiguous(), None)
        terms = Terms(tuple(inputs), states, planes, *statistics, table_of(TERMS, CPU), GATES, range(8))
        with recorded(232_448) as recordings:
            nodes.combine_coefficients(grads, arriving, terms, coefficients, gate_grads, idle, counters, training)
        assert [one.name for one in recordings] == ["combine_sums"]
        results = []
        for step in (1, -1):
            for one in recordings:
                blocks = [*itertools.product(*map(range, one.grid))][::step]
                launches.run(one, watch=True, blocks=blocks)
                assert len(blocks) > 3 and not counters.any()
            results.append((coefficients.clone(), gate_grads.clone(), grads.clone()))
        assert all(first.equal(second) for first, second in zip(*(r[::2] for r in results), strict=True))
        assert results[0][1].nan_to_num(5).equal(results[1][1].nan_to_num(5)) and gate_grads[8].isnan()
        assert grads.equal(grad) and gate_grads[9] == 0
        for row, sums in zip(TERMS, defined, strict=True):
            normed, gate = row.form == NORMALIZED and GATES[row.gate] != 0, GATES[row.gate].double()
            mean, rstd = (t[row.place].double() if normed else t.new_full((channels,), 1.0 * i).double()
                          for i, t in enumerate(statistics))  # fmt: skip
            wanted, gate_grad = naive.finalize_coefficients(sums, pixels, mean, rstd, gate, training and normed)
            torch.testing.assert_close(gate_grads[row.gate].double(), gate_grad, atol=1e-3, rtol=1e-4)
            if row.place >= 0:
                torch.testing.assert_close(coefficients[:, row.place].double(), wanted, atol=1e-5, rtol=1e-4)


def test_what_fits():
    assert nodes.fits(16, torch.bfloat16, 2, 35, 49_152) and nodes.fits(64, torch.float16, 1, 40, 49_152)
    assert not nodes.fits(16, torch.float32, 2, 35, 49_152) and not nodes.fits(12, torch.bfloat16, 2, 35, 49_152)
    assert not nodes.fits(16, torch.bfloat16, 3, 35, 49_152) and not nodes.fits(64, torch.float16, 2, 200, 49_152)
    assert not nodes.fits(16, torch.bfloat16, 2, 35, 0)
