"""Handing launches of the fused kernels to a function instead of a GPU, whatever the device of their tensors is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CudaLaunch:
    """One launch of a CUDA kernel.

    Attributes:
        name, file: of the kernel and of its source in ``supernet.fused.cuda``.
        definitions: names and values of the source's macros.
        grid: numbers of blocks; ``threads`` of each.
        shared: bytes of shared memory of a block.
        arguments: in the kernel's order: tensors, ``None`` for a null pointer, numbers and structures of ``ctypes``.
    """

    name: str
    file: str
    definitions: tuple[tuple[str, int], ...]
    grid: tuple[int, int, int]
    threads: int
    shared: int
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Handler:
    """What gets launches instead of a GPU, and the bytes of shared memory of a block that launches may ask for."""

    take: Callable[[Any], object]
    shared_bytes: int


_handler: ContextVar[Handler | None] = ContextVar("handler", default=None)


def current_handler() -> Handler | None:
    """Return what gets launches now instead of a GPU."""
    return _handler.get()


@contextmanager
def handled(take: Callable[[Any], object], shared_bytes: int = 0) -> Iterator[None]:
    """Give the launches made inside to a function, instead of running them on a GPU.

    Args:
        shared_bytes: of shared memory that a block of the GPU in question may use; with 0, the default, convolutions
            are left to Triton, as on a GPU that CUDA kernels do not support.
    """
    token = _handler.set(Handler(take, shared_bytes))
    try:
        yield
    finally:
        _handler.reset(token)
