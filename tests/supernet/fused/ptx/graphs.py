"""Mixed graphs, and a single launch of convolutions, by whatever gets the launches."""

import torch

from supernet.fused.cuda import convs
from supernet.fused.dense import Kinds
from supernet.fused.rows import ConvRow
from supernet.fused.verification import compare
from supernet.mixed.graph import MixedGraph


def convolution(channels=16, storage=torch.bfloat16):
    """The planes of two rows of a state by the CUDA kernels."""
    torch.manual_seed(0)
    weights = torch.randn(2, channels, 1, 3, 3), torch.randn(2, channels, channels, 1, 1)
    kinds = Kinds((3,), (1,), weights[:1], weights[1:])
    rows = [ConvRow(0, slot, -1, slot, slot, slot) for slot in range(2)]
    x, planes = torch.randn(4, 8, 8, channels).to(storage), torch.zeros(2, 4 * 64, channels, dtype=storage)
    statistics, counters = torch.zeros(3, 2, channels), torch.zeros(2, dtype=torch.int32)
    dense = convs.dense_weights(rows, kinds, x, transposed=False)
    convs.convs_forward([x], x.shape[:3], 1, planes, dense, rows, kinds, torch.ones(2), statistics.unbind(), counters)
    assert not counters.any()
    return x, weights, planes


def computed_and_exact(storage, candidates, channels, nodes, stride, batch, size):
    """Nodes, and gradients of states, gates and parameters: by the kernels, and by the reference in float64."""
    torch.manual_seed(0)
    graph = MixedGraph(channels, candidates, 2, nodes, stride)
    states = [torch.randn(batch, channels, *size).to(storage) for _ in range(2)]
    gates = torch.rand(sum(range(2, 2 + nodes)), len(candidates)) + 0.1
    gates[1, 0] = 0
    return compare(graph, "fused", states, gates)
