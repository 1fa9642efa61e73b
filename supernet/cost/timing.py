"""Times of forward passes on a machine that may be busy: interleaved rounds, a quantile of each call's, and its spread.

Every call is warmed up; then each round times every call once, in a new random order, so that what slows the machine
for a while slows all calls alike. Calls shorter than a clock's reading are repeated within a round. Calls whose times
spread too widely are measured again, and refused where that does not help.

Other programs only ever add to a time. Where they disturb most rounds, a low quantile is what the call takes by itself,
as long as enough rounds agree on it: the spread is that of the rounds around the quantile.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from supernet.errors import SpaceError

Call = Callable[[], object]

WARM_UPS = 3


@dataclass(frozen=True)
class Timing:
    """The time of a call.

    Attributes:
        ms: the protocol's quantile ``q`` of the rounds, in milliseconds.
        spread: distance of the quantiles ``q / 2`` and ``3 q / 2``, of the median the quartiles, over ``ms``.
    """

    ms: float
    spread: float


@dataclass(frozen=True)
class Protocol:
    """How calls are timed.

    Attributes:
        rounds: of every call.
        quantile: of the rounds that is the time of a call, above 0 and up to 0.5, the median.
        shortest: milliseconds that a call is repeated for within a round.
        spread: the largest spread that is accepted.
        attempts: how often calls of a larger spread are measured before they are refused.
        clock: returns seconds: of the wall clock; or of this thread's own computation (``time.thread_time``), in which
            waiting for other programs does not count, for one thread on a CPU.
    """

    rounds: int = 21
    quantile: float = 0.5
    shortest: float = 2.0
    spread: float = 0.15
    attempts: int = 3
    clock: Callable[[], float] = time.perf_counter


class NoisyMachine(SpaceError):
    """Times that spread too widely to be used."""


def measure(
    calls: Mapping[str, Call],
    device: torch.device,
    protocol: Protocol,
    report: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, Timing]:
    """Return the time of each call.

    Args:
        calls: name -> call; it may leave work queued on the device.
        device: that is waited for.
        protocol: rounds, and the accepted spread.
        report: is told what is measured, and how many of how many rounds are done.

    Raises:
        NoisyMachine: where the times of a call spread too widely in every attempt.
    """
    repeats = {name: _repeats(call, device, protocol) for name, call in calls.items()}
    found: dict[str, Timing] = {}
    left = list(calls)
    for attempt in range(protocol.attempts):
        what = "round" if not attempt else f"{len(left)} noisy ones again, round"
        times: dict[str, list[float]] = {name: [] for name in left}
        for index in range(protocol.rounds):
            report(what, index + 1, protocol.rounds)
            for name in Random(index).sample(left, len(left)):
                times[name].append(_time(calls[name], repeats[name], device, protocol.clock))
        timings = {name: _timing(each, protocol.quantile) for name, each in times.items()}
        found |= timings
        left = [name for name in left if timings[name].spread > protocol.spread]
        if not left:
            return found
    worst = max(left, key=lambda name: found[name].spread)
    raise NoisyMachine(
        f"the machine is too busy to measure latency: {len(left)} of {len(calls)} times still spread by more than "
        f"{100 * protocol.spread:.0f} % after {protocol.attempts} attempts, {worst!r} by "
        f"{100 * found[worst].spread:.0f} %{_load()}; close other programs"
    )


def forward_pass(network: nn.Module, inputs: Sequence[Any], device: torch.device) -> Call:
    """Return a call of a network in evaluation mode, without gradients.

    Args:
        network: on the device; it is left in evaluation mode.
        inputs: of which the shapes matter.
        device: of the network.
    """
    network.eval()
    given = filled(tuple(inputs), device)

    @torch.no_grad()
    def call() -> object:
        return network(*given)

    return call


def filled(given: Any, device: torch.device) -> Any:
    """Return inputs with values on a device: small numbers, True, and tokens of index 1."""

    def fill(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        if x.is_floating_point():
            return torch.empty(x.shape, dtype=x.dtype, device=device).uniform_(-1, 1)
        return torch.ones(x.shape, dtype=x.dtype, device=device)

    return tree_map(fill, given)


def _repeats(call: Call, device: torch.device, protocol: Protocol) -> int:
    """Warm a call up, and return how often it is repeated within a round."""
    shortest = min(_time(call, 1, device, protocol.clock) for _ in range(WARM_UPS))
    return max(1, math.ceil(protocol.shortest / max(shortest, 1e-4)))


def _time(call: Call, repeats: int, device: torch.device, clock: Callable[[], float]) -> float:
    """Return the milliseconds of a call, until the device has finished."""
    _wait(device)
    began = clock()
    for _ in range(repeats):
        call()
    _wait(device)
    return 1e3 * (clock() - began) / repeats


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _timing(times: Sequence[float], quantile: float) -> Timing:
    ordered = sorted(times)
    low, middle, high = (_quantile(ordered, share * quantile) for share in (0.5, 1.0, 1.5))
    return Timing(middle, (high - low) / middle if middle else math.inf)


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted numbers: of ``n``, the ``share (n + 1)``-th, interpolated linearly."""
    place = min(max(share * (len(ordered) + 1) - 1, 0), len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _load() -> str:
    """Return how busy the machine is, in words; empty where that is not known."""
    try:
        load = os.getloadavg()[0]
    except OSError:
        return ""
    return f" (load {load:.1f} on {os.cpu_count()} cores)"
