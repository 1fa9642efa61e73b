"""Launches beside those of the current stream: small kernels then share the GPU instead of waiting for each other.

What runs beside reads and writes nothing that the current stream writes before ``join``, and the tensors that it uses
live until then. The order of sums stays that of the kernels, so the results have the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch


class Beside:
    """Another stream of a GPU, one for each number; on other devices the current order of things."""

    def __init__(self, device: torch.device, number: int = 0):
        self.stream = _stream(device, number) if device.type == "cuda" else None
        self.device, self.begun = device, False

    @contextmanager
    def launches(self) -> Iterator[None]:
        """Run what is launched inside after all that was launched before, and beside what is launched later."""
        if self.stream is None:
            yield
            return
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        self.begun = True
        with torch.cuda.stream(self.stream):
            yield

    def join(self) -> None:
        """Let what is launched from now on wait for what runs beside."""
        if self.stream is not None and self.begun:
            torch.cuda.current_stream(self.device).wait_stream(self.stream)
            self.begun = False


@cache
def _stream(device: torch.device, number: int) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
