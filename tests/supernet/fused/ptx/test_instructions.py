"""Single instructions of PTX against numpy, and against the layouts that the PTX ISA defines element by element."""

import numpy as np
import pytest
import torch

from supernet.fused.ptx.program import PtxError, parse
from tests.supernet.fused.ptx.snippets import per_lane, run

RANDOM = np.random.default_rng(0)
A, B = RANDOM.integers(0, 2**32, (2, 32), dtype=np.uint32)
SIGNED_A, SIGNED_B = A.view(np.int32).astype(object), (B.view(np.int32) >> 12).astype(object)  # without overflow
COUNTS = np.arange(32, dtype=np.uint32) * 2
LANES = np.arange(32)


def truncated(a, b):
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def permuted(a, b, selector):
    octets = [*int(a).to_bytes(4, "little"), *int(b).to_bytes(4, "little")]
    digits = [selector >> 4 * place & 15 for place in range(4)]
    found = [octets[d & 7] if d < 8 else 255 * (octets[d & 7] > 127) for d in digits]
    return int.from_bytes(bytes(found), "little")


INTEGERS = [
    ("mul.hi.s32 %r20, %r10, %r11", [a * b >> 32 for a, b in zip(SIGNED_A, SIGNED_B)]),
    ("mul.lo.s32 %r20, %r10, %r11", [a * b for a, b in zip(SIGNED_A, SIGNED_B)]),
    ("mul.wide.s32 %d5, %r10, %r11; shr.s64 %d5, %d5, 7; cvt.u32.u64 %r20, %d5",
     [a * b >> 7 for a, b in zip(SIGNED_A, SIGNED_B)]),
    ("div.s32 %r20, %r10, %r11", [truncated(a, b) for a, b in zip(SIGNED_A, SIGNED_B)]),
    ("rem.s32 %r20, %r10, %r11", [a - truncated(a, b) * b for a, b in zip(SIGNED_A, SIGNED_B)]),
    ("bfe.s32 %r20, %r10, 5, 9", [((int(a) >> 5) & 511) - 512 * (int(a) >> 13 & 1) for a in A]),
    ("bfe.u32 %r20, %r10, 28, 9", [int(a) >> 28 for a in A]),
    ("prmt.b32 %r20, %r10, %r11, 0x7d38U", [permuted(a, b, 0x7D38) for a, b in zip(A, B >> 12 | B << 20)]),
    ("min.s32 %r20, %r10, %r11", [min(pair) for pair in zip(SIGNED_A, SIGNED_B)]),
    ("setp.lt.s32 %p1, %r10, %r11; selp.b32 %r20, 7, -7, %p1",
     [7 if a < b else -7 for a, b in zip(SIGNED_A, SIGNED_B)]),
    ("bfi.b32 %r20, %r10, %r11, 4, 8", [int(b) & ~0xFF0 | (int(a) & 255) << 4 for a, b in zip(A, SIGNED_B)]),
]  # fmt: skip


@pytest.mark.parametrize("body, expected", INTEGERS, ids=[body.split()[0] for body, _ in INTEGERS])
def test_integers(body, expected):
    second = B >> 12 | B << 20 if "prmt" in body else np.array(SIGNED_B.astype(np.int32)).view(np.uint32)
    (found,) = per_lane(body + ";", A, second)
    assert [int(number) for number in found] == [int(number) % 2**32 for number in expected]


@pytest.mark.parametrize("opcode", ["shl.b32", "shr.u32", "shr.s32"])
def test_shifts_of_32_bits_and_more(opcode):
    (found,) = per_lane(f"{opcode} %r20, %r10, %r11;", A, COUNTS)
    number = A.view(np.int32) if opcode == "shr.s32" else A
    for a, count, result in zip(number, COUNTS, found):
        exact = int(a) << int(count) if opcode == "shl.b32" else int(a) >> int(count)
        assert int(result) == exact % 2**32


SCALES = np.float32(10.0) ** np.arange(-13, 13)
FLOATS = np.float32([*RANDOM.standard_normal(26) * SCALES, 0, -0.0, np.inf, -np.inf, 1 + 2**-8, 1 + 3 * 2**-8])


@pytest.mark.parametrize("kind, dtype", [("bf16", torch.bfloat16), ("f16", torch.float16)])
def test_rounding_to_16_bits(kind, dtype):
    """The last two are ties, one to be rounded down and one up in bfloat16."""
    body = f"cvt.rn.{kind}x2.f32 %r20, %r10, %r11; cvt.rn.{kind}.f32 %h1, %r10; cvt.u32.u16 %r21, %h1;"
    packed, single = per_lane(body, FLOATS, FLOATS[::-1], outputs=2)
    exact = torch.tensor(FLOATS).to(dtype).view(torch.int16).numpy().view(np.uint16)
    assert (packed >> 16 == exact).all() and (packed & 0xFFFF == exact[::-1]).all() and (single == exact).all()
    widened = per_lane(f"cvt.u16.u32 %h1, %r10; cvt.f32.{kind} %r20, %h1;", exact.astype(np.uint32))[0]
    assert (widened.view(np.float32) == torch.tensor(FLOATS).to(dtype).float().numpy()).all()


def test_rounding_to_tf32_takes_ties_away_from_zero():
    tie = np.float32([1 + 2**-11, -1 - 2**-11, 1 + 2**-11 - 2**-23, 3] * 8)
    found = per_lane("cvt.rna.tf32.f32 %r20, %r10;", tie)[0].view(np.float32)
    assert (found == np.float32([1 + 2**-10, -1 - 2**-10, 1, 3] * 8)).all()


def test_float_comparisons_and_nan():
    a, b = np.float32([1, np.nan, 2, np.nan] * 8), np.float32([2, 1, 1, np.nan] * 8)
    names = ("lt", "ltu", "ne", "neu", "num", "nan", "geu")
    body = "".join(
        f"setp.{name}.f32 %p1, %r10, %r11; selp.u32 %r{20 + at}, 1, 0, %p1;" for at, name in enumerate(names)
    )
    found = per_lane(body + "max.f32 %r27, %r10, %r11;", a, b, outputs=8)
    expected = [(1, 0, 0, 0), (1, 1, 0, 1), (1, 0, 1, 0), (1, 1, 1, 1), (1, 0, 1, 0), (0, 1, 0, 1), (0, 1, 1, 1)]
    assert (found[:7, :4] == expected).all()
    assert found[7].view(np.float32)[:3].tolist() == [2, 1, 2] and np.isnan(found[7].view(np.float32)[3])


@pytest.mark.parametrize("kind, dtype", [("f16", torch.float16), ("bf16", torch.bfloat16)])
def test_comparisons_of_16_bits(kind, dtype):
    """Of single numbers and of pairs, also combined with a predicate; a negative one has larger bits."""
    a, b = (torch.tensor(numbers * 8) for numbers in ([1.0, -2.0, torch.nan, 0.5], [2.0, -3.0, 1.0, -0.5]))
    bits = [x.to(dtype).view(torch.int16).numpy().view(np.uint16) for x in (a, b)]
    pairs = [own.astype(np.uint32) | own[::-1].astype(np.uint32) << 16 for own in bits]
    body = f"""cvt.u16.u32 %h1, %r10; cvt.u16.u32 %h2, %r11;
        setp.gt.{kind} %p1, %h1, %h2; selp.u32 %r20, 1, 0, %p1;
        setp.gt.{kind}x2 %p2|%p3, %r10, %r11; selp.u32 %r21, 1, 0, %p2; selp.u32 %r22, 1, 0, %p3;
        setp.gtu.or.{kind}x2 %p2|%p3, %r10, %r11, %p1; selp.u32 %r23, 1, 0, %p2; selp.u32 %r24, 1, 0, %p3;"""
    found = per_lane(body, *pairs, outputs=5).astype(bool)
    greater = (a > b).numpy()
    unordered = greater | np.isnan(a.numpy())
    assert (found[:2] == greater).all() and (found[2] == greater[::-1]).all()
    assert (found[3] == unordered | greater).all() and (found[4] == unordered[::-1] | greater).all()


def test_a_comparison_of_pairs_gives_ones():
    """Also of numbers so small that they are subnormal; zeros of both signs are equal, and NaN equals nothing."""
    a, b = np.uint16([1, 2, 0x8000, 0x7E00] * 8), np.uint16([1, 3, 0, 0x7E00] * 8)
    pairs = [own.astype(np.uint32) | own[::-1].astype(np.uint32) << 16 for own in (a, b)]
    (found,) = per_lane("set.eq.f16x2.f16x2 %r20, %r10, %r11;", *pairs)
    ones = np.where([True, False, True, False] * 8, 0x3C00, 0)
    assert (found & 0xFFFF == ones).all() and (found >> 16 == ones[::-1]).all()


def test_fma_rounds_once():
    a = np.full(32, 1 + 2**-12, np.float32)
    exact = (1 + 2**-12) ** 2 - 1
    found = per_lane("fma.rn.f32 %r20, %r10, %r10, 0fBF800000;", a)[0].view(np.float32)
    assert (found == np.float32(exact)).all() and np.float32(exact) != a[0] * a[0] - np.float32(1)


@pytest.mark.parametrize(
    "mode, argument, clamp, source",
    [
        ("bfly", 5, 31, lambda lane: lane ^ 5),
        ("idx", 9, 31, lambda lane: lane * 0 + 9),
        ("idx", 3, 0x181F, lambda lane: (lane & 24) | 3),
        ("up", 4, 0, lambda lane: np.where(lane >= 4, lane - 4, lane)),
        ("down", 4, 31, lambda lane: np.where(lane < 28, lane + 4, lane)),
    ],
)
def test_shuffles(mode, argument, clamp, source):
    (found,) = per_lane(f"shfl.sync.{mode}.b32 %r20, %r10, {argument}, {clamp}, -1;", A)
    assert (found == A[source(LANES)]).all()


def test_a_lane_that_does_not_run_cannot_be_read():
    with pytest.raises(PtxError, match="runs without it"):
        per_lane("setp.lt.u32 %p1, %r0, 16; @%p1 shfl.sync.bfly.b32 %r20, %r10, 16, 31, -1;", A)


@pytest.mark.parametrize("transposed", [False, True])
def test_matrices_from_shared_memory(transposed):
    """Lane 8 i + r gives the address of row r of matrix i; lane l gets halves 2 (l % 4) and the next of row l / 4."""
    matrices = RANDOM.integers(0, 2**16, (4, 8, 8), dtype=np.uint16)
    rows = np.ascontiguousarray(matrices).view(np.uint32).reshape(32, 4)
    stores = "".join(f"add.s32 %r5, %r4, {4 * n}; st.shared.u32 [%r5], %r{10 + n};" for n in range(4))
    trans = ".trans" if transposed else ""
    body = f"""mov.u32 %r3, buffer; mad.lo.s32 %r4, %r0, 16, %r3; {stores} bar.sync 0;
        ldmatrix.sync.aligned.m8n8.x4{trans}.shared.b16 {{%r20, %r21, %r22, %r23}}, [%r4];"""
    found = per_lane(body, *rows.T, outputs=4, shared=512)
    for number, matrix in enumerate(matrices):
        matrix = matrix.T if transposed else matrix
        for lane in LANES:
            pair = matrix[lane // 4, lane % 4 * 2 : lane % 4 * 2 + 2]
            assert int(found[number, lane]) == int(pair[0]) | int(pair[1]) << 16


def test_movmatrix():
    """Each lane has two neighbours of a row, before and afterwards."""
    matrix = RANDOM.integers(0, 1 << 16, (8, 8), dtype=np.uint16)
    (found,) = per_lane("movmatrix.sync.aligned.m8n8.trans.b16 %r20, %r10;", matrix.view(np.uint32).ravel(), outputs=1)
    assert (found.astype(np.uint32).view(np.uint16).reshape(8, 8) == matrix.T).all()


@pytest.mark.parametrize("kind, k", [("bf16", 16), ("f16", 16), ("tf32", 8)])
def test_products_of_matrices(kind, k):
    """The place of each element as the PTX ISA gives it for ``mma.m16n8k16`` and ``mma.m16n8k8``."""
    a, b = RANDOM.integers(-8, 9, (16, k)).astype(np.float32), RANDOM.integers(-8, 9, (k, 8)).astype(np.float32)
    c = RANDOM.integers(-8, 9, (16, 8)).astype(np.float32)
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16}.get(kind)

    def bits(number):
        return int(torch.tensor(float(number)).to(dtype).view(torch.int16)) & 0xFFFF

    left, right = np.zeros((4, 32), np.uint32), np.zeros((2, 32), np.uint32)
    before = np.zeros((4, 32), np.float32)
    for lane in LANES:
        group, place = lane // 4, lane % 4
        for i in range(4):
            before[i, lane] = c[group + 8 * (i > 1), place * 2 + (i & 1)]
        if kind == "tf32":
            for i in range(4):
                left[i, lane] = a[group + 8 * (i & 1), place + 4 * (i > 1)].view(np.uint32)
            for i in range(2):
                right[i, lane] = b[place + 4 * i, group].view(np.uint32)
            continue
        for i in range(8):
            row, column = group + 8 * (i // 2 % 2), place * 2 + (i & 1) + 8 * (i >= 4)
            left[i // 2, lane] |= np.uint32(bits(a[row, column]) << 16 * (i & 1))
        for i in range(4):
            right[i // 2, lane] |= np.uint32(bits(b[place * 2 + (i & 1) + 8 * (i >= 2), group]) << 16 * (i & 1))
    body = f"""mma.sync.aligned.m16n8k{k}.row.col.f32.{kind}.{kind}.f32 {{%r20, %r21, %r22, %r23}},
        {{%r10, %r11, %r12, %r13}}, {{%r14, %r15}}, {{%r16, %r17, %r18, %r19}};"""
    found = per_lane(body, *left, *right, *before, outputs=4).view(np.float32)
    exact = a @ b + c
    for lane in LANES:
        for i in range(4):
            assert found[i, lane] == exact[lane // 4 + 8 * (i > 1), lane % 4 * 2 + (i & 1)]


def test_lanes_that_part_meet_again():
    """Each lane sums the numbers below its own in a loop; then all exchange their sums."""
    body = """mov.u32 %r20, 0; mov.u32 %r3, 0;
        LOOP: setp.ge.u32 %p1, %r3, %r0; @%p1 bra DONE;
        add.u32 %r20, %r20, %r3; add.u32 %r3, %r3, 1; bra LOOP;
        DONE: shfl.sync.bfly.b32 %r21, %r20, 1, 31, -1;"""
    sums, others = per_lane(body, outputs=2)
    assert (sums == LANES * (LANES - 1) // 2).all() and (others == sums[LANES ^ 1]).all()


def test_indexed_branches():
    body = """and.b32 %r3, %r0, 1;
        TABLE: .branchtargets EVEN, ODD;
        brx.idx %r3, TABLE;
        EVEN: mov.u32 %r20, 10; bra.uni END;
        ODD: mov.u32 %r20, 20;
        END: add.u32 %r20, %r20, 1;"""
    assert (per_lane(body)[0] == np.where(LANES % 2, 21, 11)).all()


def test_instructions_are_counted():
    """3 before the loop, 4 in each of its 6 turns and 2 more to leave it, 1 at the end; twice for two warps."""
    body = "mov.u32 %r3, 0;\nLOOP: setp.ge.u32 %p1, %r3, 6; @%p1 bra DONE; add.u32 %r3, %r3, 1; bra LOOP;\nDONE:"
    machine = run(body, threads=64)
    executed = zip(machine.program.blocks, machine.counts[:, 0])
    assert sum(len(block.instructions) * count for block, count in executed) == 2 * (3 + 4 * 6 + 2 + 1)


@pytest.mark.parametrize("text", ["frob.b32 %r20, %r0;", "add.sat.s32 %r20, %r0, 1;", "mov.u32 %r20, %clock;"])
def test_what_is_not_known_is_named(text):
    with pytest.raises(PtxError, match=r"not known: (frob.b32|add.sat.s32|%clock)"):
        run(text)


def test_a_text_without_a_kernel():
    with pytest.raises(PtxError, match="no kernel"):
        parse(".version 8.0")
