"""A step captured once as a CUDA graph and replayed: thousands of launches become one.

The first steps run as they are, on a stream of their own, so that libraries choose their kernels and optimizers make
their state; they are training steps like any other. The next is captured on that stream, which computes nothing, and
replayed, as all that follow. A replay reads the addresses that were captured: inputs are copied into fixed tensors, the
learning rate is a tensor, parameters and statistics change in place, generators are registered with the graph. What
Python decided during the capture stays as it was; a key names those decisions, and each key has a graph of its own.

Graphs are replayed one at a time and their outputs are copied at once, so all share one memory pool: that of the
largest, not of all together.

``pytest -m gpu tests/darts/training/test_cuda_graph.py`` compares steps with and without graphs on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from darts.errors import UserError
from darts.processes import Ranks
from darts.training.hidden_state import HiddenState
from genotypes.errors import first_line

WARM_UP = 3
"""Steps of each key that run before one is captured."""

KEPT = 4
"""Graphs kept at once: each holds its launches and its outputs."""

Outputs = Mapping[str, Tensor]
Step = Callable[..., Outputs]


@dataclass
class _Captured:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    outputs: Outputs

    def replay(self, inputs: Sequence[Tensor]) -> Outputs:
        for fixed, given in zip(self.inputs, inputs):
            fixed.copy_(given)
        self.graph.replay()
        return {name: value.clone() for name, value in self.outputs.items()}


@dataclass
class StepGraph:
    """Runs steps, by replaying CUDA graphs of them where possible.

    Attributes:
        mode: ``auto`` captures on a GPU, and runs steps uncaptured where one cannot be captured; ``on`` raises an error
            then; ``off`` never captures. The numbers are the same.
        device: of the steps.
        generators: all that a step draws from, on the device.
        refused: why steps are not captured, or empty.
        listener: called once with the reason.
    """

    mode: Literal["auto", "on", "off"]
    device: torch.device
    generators: Sequence[torch.Generator] = ()
    refused: str = ""
    listener: Callable[[str], None] = lambda message: None
    _seen: dict[Hashable, int] = field(default_factory=dict, repr=False)
    _graphs: dict[Hashable, _Captured] = field(default_factory=dict, repr=False)
    _side_stream: torch.cuda.Stream | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.mode == "on" and self.device.type != "cuda":
            raise UserError(f"`run.graph` is on: graphs need a GPU, the device is {self.device.type}; set it to auto")

    @property
    def capturing(self) -> bool:
        return self.mode != "off" and self.device.type == "cuda" and not self.refused

    def refuse(self, reason: str) -> None:
        """Run steps uncaptured from now on.

        Raises:
            UserError: where the mode is ``on``.
        """
        if self.mode == "on":
            raise UserError(f"`run.graph` is on: this step cannot be captured ({reason}); set it to auto")
        if self.capturing:
            self.refused = reason
            self.listener(f"without CUDA graph: {reason}")

    def forget(self) -> None:
        """Drop all graphs: parameters, statistics or optimizers have new addresses, or their memory is needed."""
        if self._graphs:
            torch.cuda.synchronize(self.device)  # none may be running
        self._graphs.clear()
        self._seen.clear()

    def __call__(self, step: Step, inputs: tuple[Any, ...], key: Hashable) -> Outputs:
        """Return ``step(*inputs)``.

        Args:
            step: changes its state in place; returns tensors by name.
            inputs: tensors; a step with other inputs is not captured.
            key: all that Python decides in the step.
        """
        if not (self.capturing and all(isinstance(given, Tensor) for given in inputs)):
            return step(*inputs)
        key = key, tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        if key not in self._graphs:
            self._seen[key] = self._seen.get(key, 0) + 1
            if self._seen[key] <= WARM_UP:
                return self._warm_up(step, inputs)
            reason = self._capture(step, inputs, key)
            if reason:
                self.refuse(reason)
                return step(*inputs)
        return self._graphs[key].replay(inputs)

    @property
    def _stream(self) -> torch.cuda.Stream:
        """The one stream of warm-up and capture: memory that one stream has freed serves no other stream."""
        if self._side_stream is None:
            self._side_stream = torch.cuda.Stream(self.device)
        return self._side_stream

    def _warm_up(self, step: Step, inputs: tuple[Tensor, ...]) -> Outputs:
        current, side = torch.cuda.current_stream(self.device), self._stream
        side.wait_stream(current)
        with torch.cuda.stream(side):
            outputs = step(*inputs)
        current.wait_stream(side)
        return outputs

    def _capture(self, step: Step, inputs: tuple[Tensor, ...], key: Hashable) -> str:
        """Capture a step and return nothing; or return why it cannot be captured, with all state as it was before."""
        torch.cuda.synchronize(self.device)
        while len(self._graphs) >= KEPT:
            del self._graphs[next(iter(self._graphs))]
        index = torch.cuda.current_device() if self.device.index is None else self.device.index
        drawn = [*self.generators, torch.cuda.default_generators[index]]
        before = [generator.get_state() for generator in drawn]
        fixed = tuple(tensor.clone() for tensor in inputs)
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        pools = [captured.graph.pool() for captured in self._graphs.values()]
        pool = pools[0] if pools else torch.cuda.graph_pool_handle()
        try:
            # The outer context restores the stream, which a failed capture leaves set. The threads that decode and pin
            # images may call CUDA meanwhile: thread_local lets them.
            with (
                torch.cuda.stream(torch.cuda.current_stream(self.device)),
                torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"),
            ):
                outputs = step(*fixed)
        except Exception as error:  # whatever a capture forbids: the reason is reported and the step runs uncaptured
            reason = first_line(_first_of(error), 160)
        else:
            self._graphs[key] = _Captured(graph, fixed, outputs)
            return ""
        # Outside the except clause: the error's frames hold the tensors of the capture.
        del graph
        self.forget()
        torch.cuda.synchronize(self.device)
        _close_pool(index, pool)
        torch.cuda.empty_cache()
        for generator, state in zip(drawn, before):
            _release(generator, state)
        return reason


def step_graph(
    mode: Literal["auto", "on", "off"],
    device: torch.device,
    generators: Sequence[torch.Generator],
    *,
    listener: Callable[[str], None],
    ranks: Ranks,
    hidden: HiddenState,
) -> StepGraph:
    """Return the ``StepGraph`` of a task, which runs uncaptured in several processes and with a hidden state.

    Raises:
        UserError: where the mode is ``on`` and the task cannot be captured.
    """
    graph = StepGraph(mode, device, generators, listener=listener)
    if ranks.count > 1:
        graph.refuse("several processes")
    if hidden.is_stateful:
        graph.refuse("a hidden state is carried from batch to batch, of several lengths")
    return graph


def capturing() -> bool:
    """Return whether a step is being captured now."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def _first_of(error: BaseException) -> BaseException:
    """Return the first error: leaving a failed capture raises another one on top."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def _close_pool(index: int, pool: tuple[int, int]) -> None:
    """End and release the allocations of a capture that the device refused.

    PyTorch 2.11 leaves them open then, and cannot empty its cache any more. Where they have been ended, as later
    versions do and as every version does after an error of the step itself, ending them again raises an error, and the
    graph has released the pool: releasing it twice would spoil the cache too.
    """
    with suppress(RuntimeError):
        torch._C._cuda_endAllocateToPool(index, pool)
        torch._C._cuda_releasePool(index, pool)


def _release(generator: torch.Generator, state: Tensor) -> None:
    """Release a generator from a failed capture: it may still be marked as captured, and refuse to draw."""
    fresh = torch.Generator(generator.device)
    fresh.set_state(state)
    generator.graphsafe_set_state(fresh.graphsafe_get_state())
