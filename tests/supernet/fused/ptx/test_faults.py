"""Faults planted in short kernels, and in the fused ones, are found."""

import numpy as np
import pytest

from supernet.fused.cuda import library
from supernet.fused.ptx.program import PtxError
from tests.supernet.fused.ptx.snippets import run

EXCHANGE = """mov.u32 %r3, buffer; mad.lo.s32 %r4, %r0, 4, %r3; st.shared.u32 [%r4], %r0;
    bar.sync 0;
    xor.b32 %r5, %r0, 63; mad.lo.s32 %r6, %r5, 4, %r3; ld.shared.u32 %r7, [%r6];
    add.s64 %d5, %d1, %d0; st.global.u32 [%d5], %r7;"""
"""Each of two warps reads what the other wrote."""


def out(values=64):
    return np.zeros(values, np.uint32)


def test_without_faults():
    found = out()
    run(EXCHANGE, found, threads=64, shared=256)
    assert (found == 63 - np.arange(64)).all()


@pytest.mark.parametrize(
    "message, before, after",
    [
        ("no barrier in between", "bar.sync 0;", ""),
        ("outside of the 256 bytes", "%r0, 4, %r3", "%r0, 8, %r3"),
        ("no multiple of 4", "[%r6]", "[%r6+2]"),
        ("is outside of all tensors", "[%d5], %r7", "[%d5+4], %r7"),
        ("is outside of all tensors", "add.s64 %d5, %d1, %d0", "mov.u64 %d5, 0"),
        ("a part of a warp", "xor", "setp.eq.u32 %p1, %r0, 3; @%p1 ldmatrix.sync.m8n8.x1.shared.b16 {%r9}, [%r3]; xor"),
    ],
)  # fmt: skip
def test_planted(message, before, after):
    assert EXCHANGE.count(before) == 1
    with pytest.raises(PtxError, match=message):
        run(EXCHANGE.replace(before, after), out(), threads=64, shared=256)


def test_two_blocks_write_to_one_address():
    body = "mov.u32 %r3, %ctaid.x; add.s64 %d5, %d1, %d0; st.global.u32 [%d5], %r3;"
    run(body, out(), threads=64)
    with pytest.raises(PtxError, match="two blocks touch"):
        run(body, out(), blocks=2, threads=64)


def test_one_block_reads_what_another_writes():
    body = """mov.u32 %r3, %ctaid.x; setp.eq.u32 %p1, %r3, 0; @%p1 st.global.u32 [%d1], %r3;
        ld.global.u32 %r4, [%d1+4]; @!%p1 ld.global.u32 %r4, [%d1+{}];"""
    run(body.format(8), out(), blocks=2)
    with pytest.raises(PtxError, match="two blocks touch"):
        run(body.format(0), out(), blocks=2)


COPY = """mov.u32 %r3, buffer; mad.lo.s32 %r4, %r0, 4, %r3; add.s64 %d5, %d1, %d0;
    cp.async.ca.shared.global [%r4], [%d5], 4; cp.async.commit_group;
    cp.async.wait_group 0; ld.shared.u32 %r5, [%r4];"""


def test_an_asynchronous_copy_must_be_waited_for():
    run(COPY, out(), threads=64, shared=256)
    with pytest.raises(PtxError, match="has not been waited for"):
        run(COPY.replace("wait_group 0", "wait_group 1"), out(), threads=64, shared=256)


@pytest.mark.skipif(library._nvrtc() is None, reason="NVRTC is not installed")
def test_tensors_must_be_on_the_cpu():
    launches = pytest.importorskip("supernet.fused.ptx.launches", reason="Triton is not installed")
    resources = pytest.importorskip("supernet.fused.resources", reason="Triton is not installed")
    first, *_ = resources.record(("dil_conv_3x3",), 16, 1, 4, 8, inputs=1, nodes=1, shared_bytes=232_448)
    with pytest.raises(PtxError, match="is on meta"):
        launches.run(first)


@pytest.mark.skipif(library._nvrtc() is None, reason="NVRTC is not installed")
def test_a_fused_kernel_without_its_barriers(monkeypatch):
    launches = pytest.importorskip("supernet.fused.ptx.launches", reason="Triton is not installed")
    graphs = pytest.importorskip("tests.supernet.fused.ptx.graphs", reason="Triton is not installed")

    with launches.interpreted(watch=True) as executed:
        graphs.convolution()
    assert {found.name for found in executed} == {"dense_weights", "convs_forward"}
    compiled = library.compiled
    monkeypatch.setattr(library, "compiled", lambda *given: compiled(*given).replace(b"bar.sync", b"bar.warp.sync"))
    launches._cuda_program.cache_clear()
    with pytest.raises(PtxError, match="two warps touch"), launches.interpreted(watch=True):
        graphs.convolution()
    launches._cuda_program.cache_clear()
