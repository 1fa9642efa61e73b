"""The parts of networks whose candidates stand on the edges of mixed graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from supernet.choice import ChoiceTable, no_gates
from supernet.mixed.backends import Backend
from supernet.mixed.graph import mixed_graphs
from supernet.ops import derived
from supernet.parts import Part

NO_OPERATION = "none"
"""The candidate that networks do not contain."""


def graph_parts(
    build: Callable[[Backend], nn.Module], tables: Sequence[ChoiceTable], inputs: Sequence[Any]
) -> list[Part]:
    """Return each candidate on each edge of each graph, as derived networks have it.

    Args:
        build: backend -> the supernet whose graphs are followed; it is built on the meta device.
        tables: of its decisions.
        inputs: of the supernet, on the meta device.
    """
    parts: list[Part] = []
    made: dict[tuple[str, int, int], nn.Module] = {}

    def follow(graph: Any, given: tuple[Any, ...], states: Sequence[Tensor]) -> None:
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

    with torch.device("meta"):
        supernet = build("reference").eval()
    for graph in mixed_graphs(supernet):
        graph.register_forward_hook(follow)
    with torch.no_grad():
        supernet(*inputs, no_gates(tables))
    return parts
