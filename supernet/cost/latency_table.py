"""Tables of measured latencies: every part of a space's networks, timed on one device, and how well their sums predict.

A table is a JSON file. ``parts`` holds the median milliseconds and the spread of each part (``supernet.parts``),
``offset`` and ``factor`` the linear calibration on whole networks, ``check`` how well the calibrated sums predicted
networks that the calibration did not see.

Source: latency as a sum over a table of operations, ProxylessNAS (Cai et al. 2019, section 3.2) and FBNet (Wu et al.
2019, section 3.3).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genotypes.atomic_write import write_atomically
from genotypes.errors import kind_and_text
from supernet import architectures
from supernet.cost.additive import AdditiveCost, parts_of, sums
from supernet.cost.timing import Call, Protocol, Timing, filled, forward_pass, measure
from supernet.errors import SpaceError
from supernet.parts import Part, keys_of
from supernet.shapes import Shape
from supernet.spaces.space import SearchSpace

FORMAT, VERSION = "latency-table", 1

LARGEST_BATCH = 1_000_000
"""Examples of a pass at most."""

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Check:
    """How well a table predicts networks.

    Attributes:
        networks: number of random networks that were measured.
        tau: Kendall's rank correlation of predicted and measured latency.
        error: mean relative error; each half of the networks is predicted with the calibration of the other half.
        measured, predicted: milliseconds of each network.
    """

    networks: int
    tau: float
    error: float
    measured: tuple[float, ...]
    predicted: tuple[float, ...]


@dataclass(frozen=True)
class LatencyTable:
    """A table, calibrated and checked.

    Attributes:
        parts: key of a part -> its time.
        offset, factor: a network's latency is the offset plus the factor times the sum over its parts.
        check: of the predictions.
        about: the space and its size, the device, threads, batch, machine, versions, commit.
    """

    parts: Mapping[str, Timing]
    offset: float
    factor: float
    check: Check
    about: Mapping[str, Any]

    @property
    def batch(self) -> int:
        """Examples of a pass."""
        return int(self.about.get("batch", 1))

    def cost(self, parts: Sequence[Part]) -> AdditiveCost:
        """Return the predicted latency of a space's architectures, in milliseconds.

        Args:
            parts: of the space, at the table's batch.

        Raises:
            SpaceError: where the table lacks a part of the space: it was measured for another one, or another size.
        """
        missing = [key for key in keys_of(parts) if key not in self.parts]
        if missing:
            made_for = ", ".join(f"{name} {self.about.get(name)}" for name in ("space", "channels", "layers", "image"))
            raise SpaceError(f"the table of latencies has no {missing[0]!r}; it was measured for {made_for}")
        return _sums(parts, self.parts).calibrated(self.offset, self.factor)

    def write(self, path: Path) -> None:
        """Write the table, at once or not at all."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            **self.about,
            "offset": self.offset,
            "factor": self.factor,
            "check": asdict(self.check),
            "parts": {key: asdict(timing) for key, timing in self.parts.items()},
        }
        write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def read_table(path: Path) -> LatencyTable:
    """Read a table.

    Raises:
        SpaceError: where the file is none, in one line that names it.
    """
    if path.is_char_device() or path.is_block_device():
        raise SpaceError(f"{path}: a device; give a table of `python -m supernet.cost.latency`")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise SpaceError(f"{path}: not a table of latencies; make one with `python -m supernet.cost.latency`")
        if content.pop("version", None) != VERSION:
            raise SpaceError(f"{path}: a table of another version; this one is {VERSION}; measure it again")
        parts = {key: Timing(float(each["ms"]), float(each["spread"])) for key, each in content.pop("parts").items()}
        known = content.pop("check")
        check = Check(
            int(known["networks"]),
            float(known["tau"]),
            float(known["error"]),
            tuple(map(float, known["measured"])),
            tuple(map(float, known["predicted"])),
        )
        offset, factor = float(content.pop("offset")), float(content.pop("factor"))
        if not all(map(math.isfinite, (offset, factor, *(timing.ms for timing in parts.values())))):
            raise ValueError("a number that is not finite")
        batch = content.get("batch", 1)
        if type(batch) is not int or not 1 <= batch <= LARGEST_BATCH:
            raise ValueError(f"batch is {str(batch)[:40]!r}")
    except SpaceError:
        raise
    except OSError as error:
        raise SpaceError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        reason = kind_and_text(error, 80)
        raise SpaceError(f"{path}: a damaged table of latencies ({reason}); measure it again") from None
    return LatencyTable(parts, offset, factor, check, content)


def measure_table(
    space: SearchSpace,
    shape: Shape,
    *,
    device: torch.device,
    protocol: Protocol,
    batch: int = 1,
    networks: int = 50,
    about: Mapping[str, Any] | None = None,
    report: Report = lambda what, done, total: None,
) -> LatencyTable:
    """Measure every part of a space, and random networks, by which the sums are calibrated and checked.

    Args:
        space: whose candidates are timed.
        shape: of its examples.
        device: that runs them.
        protocol: of the timing.
        batch: examples of a pass.
        networks: number of random networks.
        about: is written into the table.
        report: is told what is measured, and how many of how many rounds are done.

    Raises:
        NoisyMachine: where times spread too widely.
        SpaceError: where the costs of the space's candidates do not add up.
    """
    parts = parts_of(space, shape, batch)
    distinct = dict(zip(keys_of(parts), parts))
    calls = {key: _call(part, device) for key, part in distinct.items()}
    timings = measure(calls, device, protocol, lambda *done: report("parts, " + done[0], *done[1:]))
    generator = torch.Generator().manual_seed(0)
    picked = [architectures.sample(space, generator) for _ in range(networks)]
    inputs = shape.inputs(batch)
    built = [space.network(space.derive(picks)).to(device) for picks in picked]
    passes = {str(place): forward_pass(network, inputs, device) for place, network in enumerate(built)}
    times = measure(passes, device, protocol, lambda *done: report("networks, " + done[0], *done[1:]))
    added, measured = _sums(parts, timings), np.array([times[str(place)].ms for place in range(networks)])
    added_up = np.array([added.of(picks) for picks in picked])
    offset, factor = _line(added_up, measured)
    return LatencyTable(timings, offset, factor, _check(added_up, measured), {**(about or {}), "batch": batch})


def _sums(parts: Sequence[Part], timings: Mapping[str, Timing]) -> AdditiveCost:
    by_part = {id(part): timings[key].ms for key, part in zip(keys_of(parts), parts)}
    return sums(parts, lambda part: by_part[id(part)])


def _check(added_up: np.ndarray, measured: np.ndarray) -> Check:
    """Predict each half of the networks with the calibration of the other half."""
    even = np.arange(len(measured)) % 2 == 0
    predicted = np.empty_like(measured)
    for half in (even, ~even):
        offset, factor = _line(added_up[~half], measured[~half])
        predicted[half] = offset + factor * added_up[half]
    from scipy.stats import kendalltau  # takes half a second to import, and serves measurements alone

    tau = float(kendalltau(predicted, measured).statistic) if np.ptp(added_up) else 0.0
    error = float(np.mean(np.abs(predicted / measured - 1)))
    return Check(len(measured), tau, error, tuple(measured.tolist()), tuple(predicted.tolist()))


def _line(added_up: np.ndarray, measured: np.ndarray) -> tuple[float, float]:
    """Return offset and factor with the least squares of relative errors."""
    if not np.ptp(added_up):
        return float(np.mean(measured)), 0.0
    columns = np.stack([1 / measured, added_up / measured], 1)
    offset, factor = np.linalg.lstsq(columns, np.ones_like(measured), rcond=None)[0]
    return float(offset), float(factor)


def _call(part: Part, device: torch.device) -> Call:
    """Return a call of a part, and of the sum that its output enters."""
    module = part.module.to_empty(device=device).eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.uniform_(-0.1, 0.1)
        for buffer in module.buffers():
            buffer.fill_(1)
    inputs, named = filled(part.inputs, device), filled(dict(part.named), device)
    with torch.no_grad():
        total = module(*inputs, **named) if part.summed else None

    @torch.no_grad()
    def call() -> object:
        y = module(*inputs, **named)
        return y if total is None else total + y

    return call
