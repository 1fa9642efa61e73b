"""The parts of networks whose candidates stand on the edges of mixed graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from supernet.mixed.graph import MixedGraph
from supernet.ops import derived
from supernet.parts import Part

NO_OPERATION = "none"
"""The candidate that networks do not contain."""


def graph_parts(supernet: nn.Module, run: Callable[[nn.Module], object]) -> list[Part]:
    """Return each candidate on each edge of each graph, as derived networks have it.

    Args:
        supernet: whose graphs are followed.
        run: calls the supernet in evaluation mode, on inputs of the real size; what it computes does not matter.
    """
    parts: list[Part] = []
    made: dict[tuple[str, int, int], nn.Module] = {}

    def follow(graph: Any, inputs: tuple[Any, ...], states: Sequence[Tensor]) -> None:
        for state, source in zip(states, graph.sources):
            x = torch.empty_like(state, device="meta")
            for name, edges in source.edges.items():
                if name == NO_OPERATION:
                    continue
                kind = name, x.shape[1], source.stride
                if kind not in made:
                    with torch.device("meta"):
                        made[kind] = derived(*kind).eval()
                for edge in edges:
                    when = ((graph.label, source.rows[edge], name),)
                    parts.append(Part(when, f"{name}/{source.stride}", made[kind], (x,), summed=True))

    handles = [g.register_forward_hook(follow) for g in supernet.modules() if isinstance(g, MixedGraph)]
    try:
        with torch.no_grad():
            run(supernet.eval())
    finally:
        for handle in handles:
            handle.remove()
    return parts
