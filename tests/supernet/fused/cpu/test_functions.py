"""Each C++ function equals its definition in plain PyTorch (``supernet.fused.naive``), in float64."""

import pytest
import torch

from supernet.fused.cpu import library
from supernet.fused.cpu.functions import (
    Conv,
    Output,
    Pointwise,
    PoolTerm,
    combine_forward,
    combine_sums,
    convs_backward,
    convs_forward,
    pointwise_forward,
    pools_backward,
    pools_forward,
)
from supernet.fused.rows import NORMALIZED, STATE, ConvRow, TermRow

naive, dense = pytest.importorskip("supernet.fused.naive"), pytest.importorskip("supernet.fused.dense")
pytestmark = pytest.mark.skipif(library.reason() is not None, reason="needs a C++ compiler")

SIZES = [(3, 5, 4, 8), (18, 4, 7, 10), (2, 6, 6, 3), (1, 3, 9, 20)]
"""Images, rows, columns, channels."""
KINDS = (3, 1), (5, 1), (3, 2), (5, 2)
"""Side and dilation."""


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.fixture(params=SIZES, ids=str)
def size(request):
    torch.manual_seed(sum(request.param))
    return request.param


def kinds_of(channels, kinds=KINDS, slots=2):
    """Weights of each kind, stacked over two edges."""
    depthwise = tuple(draw(slots, channels, 1, side, side) for side, _ in kinds)
    pointwise = tuple(draw(slots, channels, channels, 1, 1) for _ in kinds)
    return dense.Kinds(*map(tuple, zip(*kinds)), depthwise, pointwise)


def conv(kinds, row, **fields):
    weights = kinds.depthwise[row.kind][row.slot], kinds.pointwise[row.kind][row.slot]
    return Conv(kinds.sides[row.kind], kinds.dilations[row.kind], *weights, **fields)


@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_of_a_state(size, stride):
    images, h, w, c = size
    kinds, x = kinds_of(c), draw(*size)
    rows = [ConvRow(kind, slot, -1, 2 * kind + slot, 0, 0) for kind in range(4) for slot in range(2)]
    pixels, gates = images * -(-h // stride) * -(-w // stride), torch.ones(1)
    planes, expected = draw(8, pixels, c), draw(8, pixels, c)
    found, wanted = (tuple(draw(8, c) for _ in range(3)) for _ in range(2))
    running = draw(8, c), draw(8, c)
    before = [kept.clone() for kept in running]
    fields = [
        {"mean": mean, "rstd": rstd, "variance": variance, "running_mean": moved, "running_var": spread}
        for mean, rstd, variance, moved, spread in zip(*found, *running)
    ]
    convs_forward(x, [conv(kinds, row, plane=planes[row.target], **fields[row.target]) for row in rows], stride)
    naive.convs_forward(x, expected, rows, kinds, gates, stride)
    naive.finalize_statistics(expected, rows, *wanted, gates)
    pairs = [(mean, variance) for mean, variance in zip(*before)]
    naive.move_running(wanted[0], wanted[2], pairs, [(row, 0) for row in range(8)], gates)
    close((planes, *found, *running), (expected, *wanted, *before))

    grads, coefficients, out = draw(8, pixels, c), draw(3, 8, c), draw(*size)
    start = out.clone()
    dy = naive.plane_gradients(planes, grads, coefficients, [row._replace(behind=row.target) for row in rows], gates)
    naive.input_gradient(x, dy, start, rows, kinds, gates, stride)
    weights = [torch.empty_like(weight) for weight in (*kinds.depthwise, *kinds.pointwise)]
    made = []
    for row in rows:
        a, b, s = coefficients[:, row.target]
        own = {"depthwise_grad": weights[row.kind][row.slot], "pointwise_grad": weights[4 + row.kind][row.slot]}
        own |= {"grad": grads[row.target], "a": a, "b": b, "s": s}
        made.append(conv(kinds, row, plane=planes[row.target], **own))
    convs_backward(x, out, made, stride)
    depthwise, pointwise = naive.conv_weight_gradients(x, dy, rows, kinds, gates, stride)
    close((out, *weights), (start, *depthwise, *pointwise))
    convs_backward(x, written := torch.full_like(out, float("nan")), made, stride, add=False)
    naive.input_gradient(x, dy, zero := torch.zeros_like(out), rows, kinds, gates, stride)
    close(written, zero)


def test_second_halves(size):
    images, h, w, c = size
    kinds = kinds_of(c, ((3, 1), (5, 1)))
    rows = [ConvRow(kind, slot, 2 * kind + slot, 4 + 2 * kind + slot, 0, 0) for kind in range(2) for slot in range(2)]
    pixels, gates = images * h * w, torch.ones(1)
    planes, statistics = draw(8, pixels, c), (draw(8, c), draw(8, c).abs() + 0.5)
    expected = planes.clone()
    middle = naive.normalized_sources(planes, rows, gates, statistics).view(4, *size)
    naive.convs_forward(middle, expected, rows, kinds, gates)
    given = [
        {
            "source": planes[row.source],
            "source_mean": statistics[0][row.source],
            "source_rstd": statistics[1][row.source],
        }
        for row in rows
    ]
    made = [conv(kinds, row, plane=planes[row.target], **own) for row, own in zip(rows, given)]
    convs_forward(planes[0].view(size), made)
    close(planes, expected)

    dy, grads, found = draw(4, pixels, c), draw(4, pixels, c), draw(3, 4, c)
    one, none = torch.ones(c, dtype=torch.float64), torch.zeros(c, dtype=torch.float64)
    backs = [torch.empty(pixels, c, dtype=torch.float64) for _ in rows]
    made = [
        row._replace(grad=g, a=one, b=none, s=none, back=back, back_a=a, back_b=b, back_s=s)
        for row, g, back, a, b, s in zip(made, dy, backs, *found)
    ]
    convs_backward(planes[0].view(size), None, made)
    sums = naive.half_gradient(dy, planes, statistics, grads, 0, rows, kinds, gates, (images, h, w))
    own = [
        naive.finalize_coefficients(sums[k], pixels, statistics[0][k], statistics[1][k], torch.ones(()), True)[0]
        for k in range(4)
    ]
    close((torch.stack(backs), found), (grads, torch.stack(own, 1)))


@pytest.mark.parametrize("stride", [1, 2])
def test_pools(size, stride):
    images, h, w, c = size
    x, pixels = draw(*size), images * -(-h // stride) * -(-w // stride)
    planes, statistics = draw(2, pixels, c), draw(2, 3, c)
    places = torch.empty(pixels, c, dtype=torch.uint8)
    pools_forward(x, planes[0], planes[1], places, statistics, stride)
    expected, wanted = naive.pools_forward(x, stride), tuple(draw(2, c) for _ in range(3))
    rows = [ConvRow(0, 0, -1, number, 0, 0) for number in range(2)]
    naive.finalize_statistics(expected, rows, *wanted, torch.ones(1))
    close((planes, statistics), (expected, torch.stack(wanted, 1)))

    grads, coefficients, out = draw(3, pixels, c), draw(3, 3, c), draw(*size)
    terms = [
        PoolTerm(average, planes[average], g, *own) for average, g, own in zip((0, 1, 0), grads, coefficients.unbind(1))
    ]
    to = torch.zeros(2, pixels, c, dtype=torch.float64)
    for term in terms:
        to[term.average] += term.a * term.grad + term.b * term.plane + term.s
    expected = out + naive.pools_backward(x, to, stride)
    pools_backward(terms, places, out, stride)
    close(out, expected)


def test_nodes(size):
    images, h, w, c = size
    pixels = images * h * w
    inputs, planes, gates = [draw(pixels, c)], draw(2, pixels, c), draw(3)
    statistics = draw(2, c), draw(2, c).abs() + 0.5
    rows = [TermRow(NORMALIZED, k, 0, k, k, 0) for k in range(2)] + [TermRow(STATE, -1, -1, -1, 2, 0)]
    none, one = torch.zeros(1, c, dtype=torch.float64), torch.ones(1, c, dtype=torch.float64)
    mean, rstd = torch.cat([statistics[0], none]), torch.cat([statistics[1], one])
    terms, scales, node = [*planes, inputs[0]], gates[:, None] * rstd, draw(pixels, c)
    combine_forward(node, terms, scales, -(scales * mean).sum(0))
    given = inputs, node[None], planes, statistics, rows, gates
    close(node, naive.combine_forward(*given))
    grad = draw(pixels, c)
    sums, expected = combine_sums(grad, terms, mean, images), naive.combine_sums(grad, *given)
    close((sums[:-1] * rstd, sums[-1].expand(3, -1)), (expected[:, 1], expected[:, 0]))


def test_factorized_reductions(size):
    """Two 1x1 convolutions of every other pixel, as one product with a block-diagonal matrix computes them."""
    reduction = pytest.importorskip("supernet.fused.graph.factorized_reduction")
    images, h, w, c = size
    x, weights = draw(*size), (draw(1, 3, c, 1, 1), draw(1, 4, c, 1, 1))
    plane = draw(images * -(-h // 2) * -(-w // 2), 7)
    convs = [Pointwise(0, 0, 3, weights[0][0]), Pointwise(1, 3, 4, weights[1][0])]
    pointwise_forward(x, convs, Output(plane), 2)
    close(plane, reduction.factorized_forward(x, weights)[0])
