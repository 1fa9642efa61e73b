"""The CUDA kernels of nodes, as compiled code, against their definitions."""

import itertools
import math

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
POOLS = [
    TermRow(PLAIN if place == 8 else NORMALIZED, place, state, plane, gate, 1)
    for place, state, plane, gate in ((5, -1, 5, 10), (6, -1, 6, 11), (7, -2, 7, 12), (8, 0, 10, 13), (9, 1, 11, 14))
]
"""Of both inputs and of both nodes, whose pools are planes 5 to 12: both pools, a maximum, an average, a maximum."""
TERMS = [*PLANES[:2], *STATES, *PLANES[2:]]
POOLED = [POOLS[0], *PLANES[:2], POOLS[1], *STATES, *POOLS[2:], *PLANES[2:]]
GATES = torch.tensor([0.5, 0, 1.25, 0.75, 0, 0.3, 0, 0, 9.0, 9.0, 0.6, 0.9, 0, 1.1, 0])
"""Of the last group of three planes, none but one is not 0, of the second input's edge none, of the last node's none
but the state's own; two belong to no term."""

SIZES = [
    (16, torch.bfloat16, (3, 16, 32), POOLED),
    (16, torch.float16, (5, 4, 4), POOLED),
    (32, torch.bfloat16, (3, 16, 16), POOLED[1:]),
    (32, torch.float16, (2, 2, 8), POOLED),
    (64, torch.bfloat16, (7, 8, 8), POOLED),
    (64, torch.float16, (1, 32, 16), POOLED),
    (16, torch.bfloat16, (1, 1, 389), TERMS),
    (32, torch.float16, (1, 1, 197), TERMS),
    (64, torch.bfloat16, (1, 1, 101), TERMS),
]
"""Channels, type, size and terms of nodes; the last three have no pools that are formed."""


def given(channels, storage, size):
    """Return both inputs, both nodes, planes and statistics, and the same in float64 with all pools."""
    torch.manual_seed(0)
    pixels = math.prod(size)
    levels = torch.randint(-2, 3, (4, pixels, channels)) * 1.125  # whose averages are not rounded
    *inputs, states = levels.to(storage).split((1, 1, 2))
    inputs, planes = [x[0] for x in inputs], (torch.randn(5, pixels, channels) * 2 + 3).to(storage)
    images = [state.double().view(*size, channels) for state in (*inputs, *states)]
    whole = torch.cat([planes.double(), *(naive.pools_forward(x, 1) for x in images)])
    rows = [*PLANES, *POOLS]
    mean = torch.stack([whole[row.plane].mean(0) for row in rows]).float()
    rstd = torch.stack([(whole[row.plane].var(0) + 0.1).rsqrt() for row in rows]).float()
    for place in (3, 4, 7, 9):  # of gates that are 0: never written
        mean[place], rstd[place] = torch.nan, torch.nan
    planes[0], planes[1], planes[3] = torch.nan, torch.nan, torch.nan
    exact = [x.double() for x in inputs], states.double(), whole, (mean.double(), rstd.double())
    return (tuple(inputs), states, planes, mean, rstd), exact


def terms_of(tensors, rows, size):
    """Return all terms but the first two, as if these were another node's; pools begin at plane 5."""
    table = [TERMS[0], TERMS[0], *rows]
    groups = nodes.groups_of(table, range(2, len(table)), 5, size[1:], CPU)
    return Terms(*tensors, table_of(table, CPU), GATES, range(2, len(table)), groups)


@pytest.mark.parametrize("channels, storage, size, rows", SIZES)
def test_a_node(channels, storage, size, rows):
    pixels = math.prod(size)
    tensors, exact = given(channels, storage, size)
    expected = naive.combine_forward(*exact, rows, GATES.double())
    terms = terms_of(tensors, rows, size)
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
@pytest.mark.parametrize("channels, storage, size, rows", SIZES)
def test_coefficients(channels, storage, size, rows, arrives):
    """In training and in evaluation, whichever block is last; a node that no edge leaves is copied."""
    pixels = math.prod(size)
    tensors, exact = given(channels, storage, size)
    grad = torch.randn(pixels, 3, channels).to(storage)[:, 1]
    defined = naive.combine_sums(grad.double(), *exact, rows, GATES.double())
    counters, idle = torch.zeros(len(rows), dtype=torch.int32), torch.tensor([9], dtype=torch.int32)
    terms, places = terms_of(tensors, rows, size), max(row.place for row in rows) + 1
    for training in (True, False):
        coefficients, gate_grads = torch.full((3, places, channels), torch.nan), torch.full((15,), torch.nan)
        grads, arriving = (torch.full_like(grad, torch.nan), grad) if arrives else (grad.contiguous(), None)
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
        assert all(first.nan_to_num(5).equal(second.nan_to_num(5)) for first, second in zip(*results, strict=True))
        assert gate_grads[8].isnan()
        assert grads.equal(grad) and gate_grads[9] == 0
        for row, sums in zip(rows, defined, strict=True):
            normed, gate = row.form == NORMALIZED and GATES[row.gate] != 0, GATES[row.gate].double()
            mean, rstd = (t[row.place].double() if normed else t.new_full((channels,), 1.0 * i).double()
                          for i, t in enumerate(tensors[3:]))  # fmt: skip
            wanted, gate_grad = naive.finalize_coefficients(sums, pixels, mean, rstd, gate, training and normed)
            torch.testing.assert_close(gate_grads[row.gate].double(), gate_grad, atol=1e-3, rtol=1e-4)
            if row.place >= 0:
                torch.testing.assert_close(coefficients[:, row.place].double(), wanted, atol=1e-5, rtol=1e-4)


def test_what_fits():
    assert nodes.fits(16, torch.bfloat16, 2, 35, 49_152) and nodes.fits(64, torch.float16, 1, 40, 49_152)
    assert not nodes.fits(16, torch.float32, 2, 35, 49_152) and not nodes.fits(12, torch.bfloat16, 2, 35, 49_152)
    assert not nodes.fits(16, torch.bfloat16, 3, 35, 49_152) and not nodes.fits(64, torch.float16, 2, 200, 49_152)
    assert not nodes.fits(16, torch.bfloat16, 2, 35, 0)


def test_which_pools_are_formed():
    assert nodes.forms_pools((32, 32), 16, 5, 35, 101_248) and nodes.forms_pools((2, 1), 64, 5, 35, 101_248)
    assert not nodes.forms_pools((1, 1), 16, 5, 35, 101_248) and not nodes.forms_pools((8, 12), 16, 5, 35, 101_248)
    assert not nodes.forms_pools((32, 32), 64, 5, 35, 101_248) and not nodes.forms_pools((32, 32), 16, 5, 35, 30_000)
