"""The backends of mixed operations, in one table.

``reference`` defines the mixed operation, one edge and one candidate at a time. ``batched`` computes all edges that
leave a state at once, on any device. ``fused`` computes whole graphs, by kernels of Triton and CUDA on a GPU and by C++
functions on a CPU; for calls that they do not support, ``batched`` serves instead, and a warning says so once.

Axes: ``e`` edge, ``o`` candidate, ``b`` batch, ``c`` channel, ``h w`` space.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, Protocol, TypeVar

import torch
from torch import Tensor

from supernet.errors import SpaceError
from supernet.fused.availability import by_triton, unavailable
from supernet.fused.cpu.library import TYPES
from supernet.fused.graph.description import Graph
from supernet.mixed.batched import batched
from supernet.mixed.reference import reference
from supernet.mixed.source import MixedSource
from supernet.mixed.states import States
from supernet.network import DropPath

Backend = Literal["reference", "batched", "fused"]
Function = TypeVar("Function", bound=Callable[..., object])


class WholeGraph(Protocol):
    """Compute all states of a graph at once; ``None`` where this call is not supported."""

    def __call__(
        self,
        graph: Graph,
        states: Sequence[Tensor],
        gates: Tensor,
        *,
        edges: Tensor | None,
        skip: Tensor | None,
        bias: Tensor | None,
        drop_path: DropPath | None,
    ) -> States | None: ...


def fused(
    graph: Graph,
    states: Sequence[Tensor],
    gates: Tensor,
    *,
    edges: Tensor | None,
    skip: Tensor | None,
    bias: Tensor | None,
    drop_path: DropPath | None,
) -> States | None:
    """Return all states of a graph, computed by the kernels of ``supernet.fused``; arguments as of ``MixedGraph``.

    Returns:
        The states; ``None`` where the kernels do not support the call, after a warning that names the reason.
    """
    reason = _unsupported(graph, states[0], skip=skip, bias=bias, drop_path=drop_path)
    if reason is None:
        description = _described(graph, skip is not None, states[0])
        if description is not None:
            return _kernels(states[0])(
                graph,
                description,
                states,
                gates,
                edges,
                skip if edges is None or skip is None else skip * edges,
                **({} if bias is None else {"bias": bias}),
            )
        reason = "a candidate operation has no kernel"
    warn_fallback("fused", "batched", reason)
    return None


def _described(graph: Graph, auxiliary: bool, x: Tensor) -> str | None:
    """Return the description of a graph; ``None`` where it has a candidate that no kernel computes for ``x``."""
    from supernet.fused.graph.description import describe

    triton = _by_triton(x.device)
    kept, key = graph.descriptions, (triton, auxiliary, *(source.skips is None for source in graph.sources))
    if key not in kept:
        description = describe(graph, auxiliary)
        if description is not None and not triton:
            from supernet.fused.cpu.launches import supports

            description = description if supports(description) else None
        kept[key] = description
    return kept[key]


def _unsupported(
    graph: Graph, x: Tensor, *, skip: Tensor | None, bias: Tensor | None, drop_path: DropPath | None
) -> str | None:
    """Why the kernels cannot compute a call, whatever the candidates; ``None`` where they can."""
    reason = _unavailable(x.device)
    if reason is not None:
        return reason
    if not _by_triton(x.device):
        if torch.is_autocast_enabled("cpu") or x.dtype not in TYPES:
            return "on a CPU it computes in float32 and float64"
        if torch.compiler.is_compiling():
            return "on a CPU its functions cannot be compiled into others"
    if drop_path is not None:
        return "edges or skip connections are dropped"
    if bias is not None and _by_triton(x.device):
        return "a bias is added to every edge"
    if skip is not None and any(source.stride == 1 and source.skips is not None for source in graph.sources):
        return "auxiliary skips are convolutions"
    return None


def _kernels(x: Tensor) -> Callable[..., States]:
    """Return what computes a graph of states like ``x``."""
    if _by_triton(x.device):
        from supernet.fused.graph.custom_op import fused as triton_kernels

        return triton_kernels
    from supernet.fused.cpu.graph import fused as cpp_functions

    return cpp_functions


def constant(function: Function) -> Function:
    """Mark a function as one whose result the compiler takes for a constant.

    As ``torch.compiler.assume_constant_result`` does, which imports the compiler for it: two seconds at every start.
    """
    function.__dict__["_dynamo_marked_constant"] = True
    return function


@constant
def _unavailable(device: torch.device) -> str | None:
    return unavailable(device)


@constant
def _by_triton(device: torch.device) -> bool:
    return by_triton(device)


@constant
def warn_fallback(backend: str, instead: str, reason: str) -> None:
    """Warn that a backend cannot be used and which one serves instead, once in a process for each reason."""
    _warn_once(f"the {backend} backend cannot be used: {reason}; {instead} serves instead")


@cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)


@dataclass(frozen=True)
class BackendRow:
    """A row of ``BACKENDS``.

    Attributes:
        edge_outputs: ``(source, x, gates) -> outputs`` of all edges that leave a state ``x``, ``(b, c, h, w)``, for
            the gates ``(e, o)`` of these edges.
        whole_graph: computes all states of a graph at once, where it supports the call.
    """

    edge_outputs: Callable[[MixedSource, Tensor, Tensor], Sequence[Tensor]]
    whole_graph: WholeGraph | None = None


BACKENDS: dict[str, BackendRow] = {
    "reference": BackendRow(reference),
    "batched": BackendRow(batched),
    "fused": BackendRow(batched, whole_graph=fused),
}


def check_backend(name: str, known: Iterable[str] = BACKENDS) -> None:
    """Refuse an unknown backend.

    Raises:
        SpaceError: with the names of those there are.
    """
    if name not in known:
        raise SpaceError(f"`space.backend` is {name!r}; it must be one of {', '.join(known)}")


def check_without_kernels(name: str, network: str) -> None:
    """Refuse an unknown backend; warn that PyTorch serves instead of ``fused``, where there are no kernels.

    Args:
        name: of the backend.
        network: whose backends all compute it in one way, with its article.

    Raises:
        SpaceError: with the names of those there are.
    """
    check_backend(name)
    if name == "fused":
        warn_fallback(name, "PyTorch", f"{network} has no kernels")
