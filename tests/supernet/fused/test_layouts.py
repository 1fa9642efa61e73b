"""The operators of the fused backend return what their fake kernels promise, and gradients laid out as parameters."""

import pytest
import torch

pytest.importorskip("triton")

from supernet.fused.graph.backward import graph_backward
from supernet.fused.graph.custom_op import fused, mixed_graph, mixed_graph_backward
from supernet.fused.graph.description import describe, flat_tensors
from supernet.fused.graph.forward import graph_forward
from supernet.fused.launch import recorded
from supernet.fused.layers.separable import half_backward, half_forward
from supernet.mixed.graph import MixedGraph
from supernet.spaces.darts import DARTS_PRIMITIVES


def layouts(tensors):
    return [(tensor.shape, tensor.dtype, tensor.stride()) for tensor in tensors]


@pytest.mark.parametrize(
    ("candidates", "stride"),
    [(DARTS_PRIMITIVES, 1), (DARTS_PRIMITIVES, 2), (("nor_conv_3x3", "skip_connect"), 1)],
)
@pytest.mark.parametrize("partial", [1, 2])
@pytest.mark.parametrize("need_params", [True, False])
def test_the_mixed_graph(candidates, stride, partial, need_params):
    with torch.device("meta"):
        graph = MixedGraph(8, candidates, 2, 2, stride, partial=partial)
        inputs = [torch.empty(2, 6, 6, 8) for _ in range(2)]
        gates, edges = torch.empty(5, len(candidates)), torch.empty(5)
    params, buffers = flat_tensors(graph, False)
    params, description = [p.detach() for p in params], describe(graph)
    with recorded():
        results, *saved = graph_forward(inputs, gates, edges, params, buffers, description, True)
        given = torch.empty_like(results), inputs, gates, edges, params, saved, description, True, need_params
        grads = graph_backward(*given)
    assert layouts([results, *saved]) == layouts(mixed_graph(inputs, gates, edges, params, buffers, description, True))
    fake = mixed_graph_backward(*given)
    assert layouts(grads) == layouts(fake)
    assert layouts(grads) == layouts([*inputs, gates, edges, *(params if need_params else [])])


@pytest.mark.parametrize("stride", [1, 2])
def test_a_separable_half(stride):
    with torch.device("meta"):
        x = torch.empty(2, 6, 6, 8)
        weights = torch.empty(8, 1, 3, 3), torch.empty(8, 8, 1, 1), torch.empty(8), torch.empty(8)
        running = torch.empty(8), torch.empty(8)
    with recorded():
        found = half_forward(x, *weights, *running, stride, 1, True)
        out, plane, mean, rstd, _ = found
        given = out, x, *weights[:3], plane, mean, rstd, stride, 1, True
        grads = half_backward(*given)
    assert layouts(found) == layouts(torch.ops.supernet.separable_half(x, *weights, *running, stride, 1, True))
    assert layouts(grads) == layouts(torch.ops.supernet.separable_half_backward(*given))
    assert layouts(grads) == layouts([x, *weights])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_kernels_read_contiguous_images(layout):
    """Whatever the layout of the states is; a slice of channels stays one when it is asked to be channels-last."""
    graph = MixedGraph(4, DARTS_PRIMITIVES, 2, 2)
    states = [torch.randn(2, 8, 5, 5).contiguous(memory_format=layout)[:, :4].requires_grad_() for _ in range(2)]
    gates = torch.rand(5, len(DARTS_PRIMITIVES))
    with recorded() as launches:
        nodes = fused(graph, describe(graph), states, gates)[2:]
        torch.autograd.grad(torch.stack(nodes).sum(), [*states, *graph.parameters()])
    images = [dict(zip(launch.kernel.arg_names, launch.arguments)).get("x") for launch in launches]
    assert len(images) > 20 and all(image is None or image.is_contiguous() for image in images)
