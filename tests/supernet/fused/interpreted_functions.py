"""Each fused function equals its definition in ``supernet.fused.naive``; ``test_naive`` runs this file."""

from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from supernet.fused import batch_norm, combine, conv_backward, conv_forward, conv_weight_backward, naive
from supernet.fused.conv_weight_backward import Parts
from supernet.fused.dense import SHIFT, Kinds, dense_weights, groups_of
from supernet.fused.launch import Tile, blocks_of, ceil_div, tile_of, zero_counters
from supernet.fused.rows import NORMALIZED, PLAIN, STATE, ConvRow, SharedRow, TermRow
from supernet.fused.shared import pools
from supernet.fused.shared.gradient import shared_gradient
from supernet.fused.tables import table_of

CPU = torch.device("cpu")
BATCH, CHANNELS = 2, 5

FIRST = [ConvRow(0, 0, -1, 2, 0, 0), ConvRow(0, 1, -1, 3, 1, 1), ConvRow(1, 0, -1, 4, 2, 2), ConvRow(1, 1, -1, 0, 3, 0)]
"""Rows that read a state; the last one's gate is 0."""

SECOND = [ConvRow(0, 0, 2, 0, 0, 0), ConvRow(0, 1, 3, 1, 1, 1), ConvRow(1, 0, 4, 5, 3, 2), ConvRow(1, 1, 4, 5, 2, 2)]
"""Rows that read a plane; the third one's gate is 0."""

TERMS = [
    TermRow(NORMALIZED, 0, 0, 0, 0, 0),
    TermRow(NORMALIZED, 1, 0, 1, 3, 0),
    TermRow(STATE, -1, -2, -1, 1, 0),
    TermRow(STATE, -1, 1, -1, 2, 1),
    TermRow(PLAIN, 2, 0, 2, 0, 1),
]

GATES = torch.tensor([0.7, 1.3, 0.4, 0.0], dtype=torch.float64)


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture(params=[(1, False), (2, False), (1, True)], ids=["stride 1", "stride 2", "second halves"])
def conv(request):
    """The tensors of a launch of convolutions."""
    torch.manual_seed(0)
    stride, normed = request.param
    size = (BATCH, 5, 4)
    pixels = BATCH * ceil_div(5, stride) * ceil_div(4, stride)
    sides = (3, 5)
    kinds = Kinds(
        sides,
        (1, 2),
        tuple(randn(2, CHANNELS, 1, side, side) for side in sides),
        tuple(randn(2, CHANNELS, CHANNELS, 1, 1) for _ in sides),
    )
    rows = SECOND if normed else FIRST
    planes = randn(6, pixels, CHANNELS)
    statistics = (randn(6, CHANNELS), torch.rand(6, CHANNELS, dtype=torch.float64) + 0.5)
    border = kinds.reach if normed else 0
    middle = naive.normalized_sources(planes, rows, GATES, statistics).view(len(rows), *size, -1) if normed else None
    return SimpleNamespace(
        x=bordered(middle, border) if normed else randn(*size, CHANNELS),
        state=middle,
        border=border,
        planes=planes,
        rows=rows,
        kinds=kinds,
        dense=dense_weights(rows, kinds, planes),
        size=size,
        stride=stride,
        normed=normed,
        statistics=statistics,
        grads=randn(3, pixels, CHANNELS),
        coefficients=randn(3, 6, CHANNELS),
        live=[index for index, row in enumerate(rows) if GATES[row.gate] != 0],
    )


def bordered(images, border):
    """Images ``(r, b, h, w, c)`` with a border of zeros."""
    return torch.nn.functional.pad(images, (0, 0, border, border, border, border))


def equal(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_dense_weights(conv):
    for row, found, expected in zip(conv.rows, conv.dense, naive.dense_weights(conv.rows, conv.kinds), strict=True):
        equal(found[: conv.kinds.sides[row.kind] ** 2], expected)


def test_groups():
    rows = [FIRST[0]] * 5 + [FIRST[2]]
    weights = (torch.empty(5, 4, 1, 3, 3), torch.empty(1, 4, 1, 5, 5))
    kinds = Kinds((3, 5), (1, 2), weights, weights)
    found = groups_of(rows, kinds, 4)
    assert [group[:4] for group in found] == [(0, 4, 3, 1), (4, 1, 3, 1), (5, 1, 5, 2)] and kinds.taps == 25


@pytest.mark.parametrize("side", range(1, 12))
def test_division_by_a_multiplication(side):
    weight = (torch.empty(1, 4, 1, side, side),)
    (group,) = groups_of(FIRST[:1], Kinds((side,), (1,), weight, weight), 1)
    for number in range(20 * side):
        assert number * group.inverse >> SHIFT.value == number // side


def test_convolutions_and_statistics(conv):
    found, expected = conv.planes.clone(), conv.planes.clone()
    given = conv.dense, conv.rows, conv.kinds, GATES, conv.stride, conv.border
    partial, tile = conv_forward.convs_forward(conv.x, found, *given)
    naive.convs_forward(conv.state if conv.normed else conv.x, expected, conv.rows, conv.kinds, GATES, conv.stride)
    equal(found, expected)
    finalized, defined = torch.zeros(2, 3, 6, CHANNELS, dtype=torch.float64)
    table = table_of(conv.rows, CPU)
    batch_norm.finalize_statistics(partial, tile, found.shape[1], table, *finalized, GATES)
    naive.finalize_statistics(expected, conv.rows, *defined, GATES)
    equal(finalized, defined)


def test_statistics_of_many_tiles():
    """More than a program reads at a time; the last one holds fewer pixels."""
    torch.manual_seed(6)
    plane, rows = randn(1, 300 * 16 + 3, CHANNELS) + 1e4, [ConvRow(0, 0, -1, 0, 0, 0)]
    tiles = plane[0].split(16)
    parts = [torch.stack([tile.mean(0), (tile - tile.mean(0)).square().sum(0)]) for tile in tiles]
    found, expected = torch.zeros(2, 3, 1, CHANNELS, dtype=torch.float64)
    given = Tile(16, 16, 16, len(tiles)), plane.shape[1], table_of(rows, CPU)
    batch_norm.finalize_statistics(torch.stack(parts)[None], *given, *found, GATES)
    naive.finalize_statistics(plane, rows, *expected, GATES)
    equal(found, expected)


def test_normalized_sources(conv):
    if conv.normed:
        given = conv.planes, conv.rows, GATES, conv.statistics, conv.size, conv.border
        equal(conv_forward.normalized_sources(*given)[conv.live], conv.x[conv.live])


def test_gradients_of_convolutions(conv):
    given = conv.planes, conv.grads, conv.coefficients, conv.rows, GATES
    batch, h, w = conv.size
    size = batch, ceil_div(h, conv.stride), ceil_div(w, conv.stride)
    dy = naive.plane_gradients(*given)
    found = conv_backward.plane_gradients(*given, size, conv.border)
    equal(found, bordered(dy.view(len(dy), *size, -1), conv.border))
    given = conv.rows, conv.kinds, GATES, conv.stride
    found = conv_weight_backward.conv_weight_gradients(conv.x, found, *given, conv.border)
    equal(found, naive.conv_weight_gradients(conv.state if conv.normed else conv.x, dy, *given))


def test_sums_of_the_parts_of_two_launches():
    """The second one has a factorized reduction; in each the gate of a row is 0."""
    torch.manual_seed(8)
    channels, dead = 6, GATES.tolist().index(0)
    square = randn(2, channels, channels, 1, 1)
    halves = [randn(2, channels // 2, channels, 1, 1) for _ in range(2)]
    separable = Kinds((3,), (1,), (randn(2, channels, 1, 3, 3),), (square,))
    mixed = Kinds((1, 3), (1, 1), (randn(2, channels, 1, 1, 1), halves[0]), (square, halves[1]), (1,))
    rows = [FIRST[0], FIRST[1]._replace(gate=dead)], [FIRST[0]._replace(gate=dead), *FIRST[1:]]
    launches = []
    for own, kinds in zip(rows, (separable, mixed)):
        pointwise = randn(len(own), max(kinds.sides), 2, channels, channels)
        launches.append(Parts(randn(len(own), kinds.taps, 3, channels), pointwise, own, kinds))
    found = conv_weight_backward.add_parts(launches, GATES)
    for parts, (depthwise, pointwise) in zip(launches, found, strict=True):
        for index, row in enumerate(parts.rows):
            side, live = parts.kinds.sides[row.kind], GATES[row.gate] != 0
            expected = [parts.depthwise[index, : side * side].sum(1).t(), parts.pointwise[index, :side].sum((0, 1))]
            if row.kind in parts.kinds.factorized:
                expected = list(expected[1].chunk(2))
            for gradient, own in zip((depthwise, pointwise), expected):
                equal(gradient[row.kind][row.slot].flatten(), own.flatten() * live)


def test_gradient_of_a_state_and_between_halves(conv):
    dy = randn(len(conv.rows), *conv.planes.shape[1:])
    if not conv.normed:
        found = randn(*conv.x.shape)
        expected = found.clone()
        dy[[index for index in range(len(dy)) if index not in conv.live]] = 0
        conv_backward.input_gradient(conv.x, dy, found, conv.dense, conv.rows, conv.kinds, conv.stride)
        naive.input_gradient(conv.x, dy, expected, conv.rows, conv.kinds, GATES, conv.stride)
        return equal(found, expected)
    found, expected = torch.zeros(2, 7, *conv.planes.shape[1:], dtype=torch.float64)
    given = conv.statistics, found, 2, conv.rows, conv.kinds, GATES, conv.size
    framed = bordered(dy.view(len(dy), *conv.size, -1), conv.border)
    partial = conv_backward.half_gradient(framed, conv.planes, conv.dense, *given)
    given = conv.statistics, expected, 2, conv.rows, conv.kinds, GATES, conv.size
    sums = naive.half_gradient(dy, conv.planes, *given)
    equal(partial.sum(1)[conv.live], sums[conv.live])
    equal(found, expected)


@pytest.mark.parametrize("training", [True, False])
def test_nodes_and_coefficients(training):
    torch.manual_seed(1)
    pixels = 2 * tile_of(1, CHANNELS).m + 3
    inputs, nodes = [randn(pixels, CHANNELS) for _ in range(2)], randn(2, pixels, CHANNELS)
    planes = randn(3, pixels, CHANNELS)
    statistics = randn(3, CHANNELS), torch.rand(3, CHANNELS, dtype=torch.float64) + 0.5
    table, rows = table_of(TERMS, CPU), range(0, 3)
    expected = naive.combine_forward(inputs, nodes, planes, statistics, TERMS[:3], GATES)
    for kept, beside in ((True, True), (True, False), (False, True)):
        found, others = torch.zeros(pixels, CHANNELS).double(), torch.zeros(pixels, 3, CHANNELS).double()
        to = found if kept else None, others[:, 1] if beside else None
        combine.combine_forward(*to, combine.Terms(tuple(inputs), nodes, planes, *statistics, table, GATES, rows))
        equal([found, others[:, 1]], [kept * expected, beside * expected])
        assert not others[:, ::2].any()
    grads, given = randn(2, pixels, CHANNELS), randn(pixels, 3, CHANNELS)
    for node, rows in ((0, range(3)), (1, range(3, 5))):
        own = TERMS[rows.start : rows.stop]
        if node:  # no edge leaves it
            grads[1] = given[:, 1]
        sums = naive.combine_sums(grads[node], inputs, nodes, planes, statistics, own, GATES)
        coefficients, gate_grads = (torch.full(size, 9.0, dtype=torch.float64) for size in ((3, 3, CHANNELS), (8,)))
        counters = torch.zeros(len(TERMS), dtype=torch.int32)
        idle = torch.tensor([5, 4, 7], dtype=torch.int32)
        arriving, own_grads = (given[:, 1], torch.full_like(grads[1], torch.nan)) if node else (None, grads[0])
        terms = combine.Terms(tuple(inputs), nodes, planes, *statistics, table, GATES, rows)
        combine.combine_coefficients(own_grads, arriving, terms, coefficients, gate_grads, idle, counters, training)
        assert own_grads.equal(grads[node])
        assert gate_grads[4:].tolist() == [0, 0, 9, 0]
        assert not counters.any()
        mean, rstd = statistics
        for index, row in enumerate(own):
            gate, normed = GATES[row.gate], row.form == NORMALIZED
            own_mean = mean[row.place] if normed else torch.zeros_like(mean[0])
            own_rstd = rstd[row.place] if normed else torch.ones_like(rstd[0])
            passes = training and normed
            expected, gate_grad = naive.finalize_coefficients(sums[index], pixels, own_mean, own_rstd, gate, passes)
            equal(gate_grads[row.gate], gate_grad if gate != 0 else torch.zeros_like(gate_grad))
            if row.place >= 0:
                equal(coefficients[:, row.place], expected if gate != 0 else torch.zeros_like(expected))


@pytest.mark.parametrize("training", [True, False])
def test_coefficients_of_first_halves(training):
    torch.manual_seed(7)
    partial = randn(len(SECOND), 300, 2, CHANNELS)
    mean, rstd = randn(6, CHANNELS), torch.rand(6, CHANNELS, dtype=torch.float64) + 0.5
    halves = [row._replace(target=row.source) for row in SECOND]
    halves[-1] = halves[-1]._replace(target=5)
    found = torch.full((3, 6, CHANNELS), 9.0, dtype=torch.float64)
    expected = found.clone()
    batch_norm.finalize_coefficients(partial, 11, table_of(halves, CPU), mean, rstd, found, GATES, training)
    for row, sums in zip(halves, partial.sum(1), strict=True):
        moments = mean[row.target], rstd[row.target]
        expected[:, row.target] = naive.finalize_coefficients(sums, 11, *moments, torch.ones(()).double(), training)[0]
        expected[:, row.target] *= GATES[row.gate] != 0
    equal(found, expected)


def test_coefficients_are_the_derivative_of_the_gated_batch_norm():
    """``a g + b y + s`` and the gate's gradient, against autograd through BatchNorm."""
    torch.manual_seed(2)
    y, g, gate = randn(7, CHANNELS).requires_grad_(), randn(7, CHANNELS), GATES[0].clone().requires_grad_()
    z = torch.nn.functional.batch_norm(y, None, None, training=True)
    expected = torch.autograd.grad(gate * z, [y, gate], g)
    mean, rstd = y.mean(0), (y.var(0, correction=0) + 1e-5).rsqrt()
    sums = torch.stack([g.sum(0), (g * z).sum(0)])
    (a, b, s), gate_grad = naive.finalize_coefficients(sums, 7, mean, rstd, gate, True)
    equal([a * g + b * y + s, gate_grad], list(expected))


def test_gradients_of_pools_and_skip_connections():
    """Of two states in one launch, one of which has an edge less."""
    torch.manual_seed(3)
    pixels = 20
    grads, pools, coefficients = randn(2, pixels, CHANNELS), randn(4, pixels, CHANNELS), randn(3, 5, CHANNELS)
    rows = [SharedRow(0, 0, -1, 2), SharedRow(1, 1, 2, 3), SharedRow(1, 3, 4, -1), SharedRow(-1, -1, -1, -1)]
    added, back = randn(pixels, 3, CHANNELS), torch.empty(4, pixels, CHANNELS, dtype=torch.float64)
    before, (other, alone) = [added[:, 0], added[:, 2]], torch.full((2, 2, *grads[0].shape), torch.nan).double()
    expected = torch.stack(before)
    found, table = expected.clone(), table_of(rows, CPU)
    for begin, out in ((found, found), (before, other), (None, alone)):
        given = None if begin is None else list(begin)
        shared_gradient(grads, pools, coefficients, GATES, table, back, given, list(out))
    parts = zip(pools.split(2), (rows[:2], rows[2:3]), expected, strict=True)
    defined = torch.cat([naive.shared_gradient(grads, own, coefficients, GATES, of, out) for own, of, out in parts])
    equal([back, found, other, alone], [defined, expected, expected, expected - torch.stack(before)])
    shared_gradient(grads, pools, coefficients, GATES, table, None, None, list(found))
    equal(found, alone)
    shared_gradient(grads, pools, coefficients, GATES, table, other := torch.empty_like(back), None, [])
    equal(other, back)


@pytest.mark.parametrize("stride", [1, 2])
def test_pools(stride):
    torch.manual_seed(4)
    x = randn(50, 5, 4, CHANNELS).round(decimals=0) + 1e4  # with ties, and of several tiles
    pixels = len(x) * ceil_div(5, stride) * ceil_div(4, stride)
    found = torch.empty(2, pixels, CHANNELS, dtype=torch.float64)
    where = torch.empty(1, pixels, CHANNELS, dtype=torch.uint8)
    expected = naive.pools_forward(x, stride)
    numbers = (0, 4, 0), (0, 1, 1), (0, 2, 3), (1, 3, 2)
    rows = [ConvRow(kind, 0, -1, target, gate, 0) for kind, target, gate in numbers]  # the third one's gate is 0
    for training in (True, False):
        counters = torch.zeros(blocks_of(CHANNELS), dtype=torch.int32)
        finished, defined = torch.full((2, 3, 5, CHANNELS), 9.0, dtype=torch.float64)
        given = table_of(rows, CPU), GATES, finished.unbind(), counters, training
        pools.pools_forward([x], found, where, stride, *given)
        equal(found, expected)
        if training:
            pooled = torch.zeros(5, pixels, CHANNELS, dtype=torch.float64)
            for row in rows:
                pooled[row.target] = expected[row.kind]
            naive.finalize_statistics(pooled, rows, *defined, GATES)
        equal(finished, defined)
        assert not counters.any()
    grads, out = randn(2, pixels, CHANNELS), randn(*x.shape)
    defined = out + naive.pools_backward(x, grads, stride)
    before, (other, alone) = out.clone(), torch.full((2, *out.shape), torch.nan, dtype=torch.float64)
    for begin, to in ((out, out), (before, other), (None, alone)):
        added = None if begin is None else [begin.view(-1, CHANNELS)]
        pools.pools_backward(grads, where, added, [to], stride)
    equal([out, other, alone], [defined, defined, defined - before])


def test_counters_are_kept_unless_they_are_fake():
    kept = zero_counters(CPU, 3)
    assert kept is zero_counters(CPU, 3) and kept.dtype == torch.int32 and kept.tolist() == [0] * 3
    assert zero_counters(torch.device("meta"), 3).is_meta
    with FakeTensorMode():
        assert isinstance(zero_counters(CPU, 3), FakeTensor) and isinstance(zero_counters(CPU, 4), FakeTensor)
    assert type(zero_counters(CPU, 4)) is torch.Tensor


def test_running_statistics():
    torch.manual_seed(5)
    mean, variances = randn(3, CHANNELS), torch.rand(3, CHANNELS, dtype=torch.float64)
    before = torch.rand(2, 2, CHANNELS)
    rows = ((2, 0), (1, 3))
    found, expected = before.clone(), before.clone()
    batch_norm.move_running(mean, variances, [tuple(pair) for pair in found], rows, GATES)
    naive.move_running(mean, variances, [tuple(pair) for pair in expected], rows, GATES)
    torch.testing.assert_close(found, expected)
    assert found[1].equal(before[1]) and not found[0].equal(before[0])
