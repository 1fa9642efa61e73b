"""A step captured once as a CUDA graph and replayed: thousands of launches become one.

The first steps run as they are, on a stream of their own, so that libraries choose their kernels and optimizers make
their state; they are training steps like any other. The next is captured on that stream, which computes nothing, and
replayed, as all that follow. What a replay reads must lie where it lay: inputs are copied into fixed tensors, the
learning rate is a tensor, parameters and statistics change in place, generators are registered with the graph. What
Python decided while it was captured stays decided; a key names those decisions, and each key has a graph of its own.

Graphs are replayed one at a time and what they return is copied at once, so all share one pool of memory: that of the
largest, not of all together.

Not yet run on a GPU by this project's authors: ``pytest -m gpu tests/darts/test_graph.py`` compares both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from darts.errors import UserError

WARM_UP = 3
"""Steps of each kind that run before one is captured."""

KEPT = 4
"""Graphs kept at once: each holds its launches, and what it returns."""

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
    """Runs steps, by replaying graphs of them where that can be.

    Attributes:
        mode: ``auto`` captures on a GPU and goes on without where a step cannot be captured; ``on`` refuses then;
            ``off`` never captures. The numbers are the same.
        device: of the steps.
        generators: all that a step draws from, on the device.
        refused: why steps are not captured, or empty.
        tell: is told so, once.
    """

    mode: Literal["auto", "on", "off"]
    device: torch.device
    generators: Sequence[torch.Generator] = ()
    refused: str = ""
    tell: Callable[[str], None] = lambda message: None
    _seen: dict[Hashable, int] = field(default_factory=dict, repr=False)
    _graphs: dict[Hashable, _Captured] = field(default_factory=dict, repr=False)
    _aside: torch.cuda.Stream | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.mode == "on" and self.device.type != "cuda":
            raise UserError(f"--graph on: graphs need a GPU, this runs on {self.device.type}; use --graph auto")

    @property
    def capturing(self) -> bool:
        return self.mode != "off" and self.device.type == "cuda" and not self.refused

    def refuse(self, reason: str) -> None:
        """Run without from here on.

        Raises:
            UserError: where graphs were asked for.
        """
        if self.mode == "on":
            raise UserError(f"--graph on: this step cannot be captured ({reason}); use --graph auto")
        if self.capturing:
            self.refused = reason
            self.tell(f"without CUDA graph: {reason}")

    def forget(self) -> None:
        """Drop all graphs: parameters, statistics or optimizers lie elsewhere now, or their memory is needed."""
        if self._graphs:
            torch.cuda.synchronize(self.device)  # none may be running
        self._graphs.clear()
        self._seen.clear()

    def __call__(self, step: Step, inputs: tuple[Any, ...], key: Hashable) -> Outputs:
        """``step(*inputs)``.

        Args:
            step: changes its state in place; returns tensors by name.
            inputs: tensors; where there are others, the step is not captured.
            key: all that Python decides in it.
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
        """Where steps warm up and are captured: one stream, as memory that one has freed serves no other."""
        if self._aside is None:
            self._aside = torch.cuda.Stream(self.device)
        return self._aside

    def _warm_up(self, step: Step, inputs: tuple[Tensor, ...]) -> Outputs:
        current, aside = torch.cuda.current_stream(self.device), self._stream
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            outputs = step(*inputs)
        current.wait_stream(aside)
        return outputs

    def _capture(self, step: Step, inputs: tuple[Tensor, ...], key: Hashable) -> str:
        """Capture a step; or say why it cannot be, and leave everything as it was before."""
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
        pool = next((captured.graph.pool() for captured in self._graphs.values()), None)
        # The threads that decode and pin images may call CUDA meanwhile: thread_local lets them.
        options = dict(pool=pool, stream=self._stream, capture_error_mode="thread_local")
        try:
            with torch.cuda.graph(graph, **options):
                outputs = step(*fixed)
        except Exception as error:  # whatever a step does that a capture forbids: it says so, and the run goes on
            reason = _first_line(error)
        else:
            self._graphs[key] = _Captured(graph, fixed, outputs)
            return ""
        # Outside the except clause: the error's frames hold the tensors of the capture.
        del graph
        self.forget()
        torch.cuda.synchronize(self.device)
        torch.cuda.empty_cache()
        for generator, state in zip(drawn, before):
            _begin_anew(generator, state)
        return reason


def capturing() -> bool:
    """Whether a step is being captured now."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def _first_line(error: BaseException) -> str:
    """What went wrong first: leaving a capture that has failed raises another error on top."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).splitlines()[0][:160] if str(error) else type(error).__name__


def _begin_anew(generator: torch.Generator, state: Tensor) -> None:
    """Free a generator of a capture that has failed: it may still take itself for captured, and refuse to draw."""
    fresh = torch.Generator(generator.device)
    fresh.set_state(state)
    generator.graphsafe_set_state(fresh.graphsafe_get_state())


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Of an optimizer's only group: where its parameters lie on a GPU, as a tensor that stays in its place."""
    group = optimizer.param_groups[0]
    device = group["params"][0].device
    if device.type != "cuda":
        group["lr"] = rate
    elif isinstance(group["lr"], Tensor) and group["lr"].device == device:
        group["lr"].fill_(rate)
    else:
        group["lr"] = torch.tensor(rate, device=device, dtype=torch.float32)
