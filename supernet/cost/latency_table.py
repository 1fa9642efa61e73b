"""Tables of measured latencies: every part of a space's networks, timed on one device, and how well their sums predict.

A table is a JSON file. ``parts`` holds the median milliseconds and the spread of each part (``supernet.parts``),
``offset`` and ``factors`` the linear calibration on whole networks, ``check`` how well the calibrated sums predicted
networks that the calibration did not see. Each candidate has a factor of its own, near a common one: in a network,
after other layers, some take longer than by themselves.

Source: latency as a sum over a table of operations, ProxylessNAS (Cai et al. 2019, section 3.2) and FBNet (Wu et al.
2019, section 3.3).

Axes: ``n`` network, ``c`` candidate.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genotypes.atomic_write import write_atomically
from genotypes.devices import refuse_device
from genotypes.errors import kind_and_text
from supernet import architectures
from supernet.cost.additive import AdditiveCost, parts_of, sums
from supernet.cost.timing import Call, Protocol, Timing, filled, forward_pass, measure
from supernet.errors import SpaceError
from supernet.parts import Part, keys_of
from supernet.shapes import Shape
from supernet.spaces.space import SearchSpace

FORMAT, VERSION = "latency-table", 2

LARGEST_BATCH = 1_000_000
"""Examples of a pass at most."""

SHRINKAGES = (0.01, 0.1, 1.0, 10.0, 1e6)
"""Weights of the squared distance of candidates' factors from the common one; the last leaves that one alone."""

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
        offset, factors: a network's latency is the offset plus the sum over its parts of their times, each multiplied
            by the factor of its candidate's name.
        check: of the predictions.
        about: the space and its size, the device, threads, batch, machine, versions, commit.
    """

    parts: Mapping[str, Timing]
    offset: float
    factors: Mapping[str, float]
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
        keys = keys_of(parts)
        missing = [k for k, part in zip(keys, parts) if k not in self.parts or part.name not in self.factors]
        if missing:
            made_for = ", ".join(f"{name} {self.about.get(name)}" for name in ("space", "channels", "layers", "image"))
            raise SpaceError(f"the table of latencies has no {missing[0]!r}; it was measured for {made_for}")
        times = {id(part): self.parts[key].ms * self.factors[part.name] for key, part in zip(keys, parts)}
        return replace(sums(parts, lambda part: times[id(part)]), fixed=self.offset)

    def write(self, path: Path) -> None:
        """Write the table, at once or not at all."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            **self.about,
            "offset": self.offset,
            "factors": dict(self.factors),
            "check": asdict(self.check),
            "parts": {key: asdict(timing) for key, timing in self.parts.items()},
        }
        write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def read_table(path: Path) -> LatencyTable:
    """Read a table.

    Raises:
        SpaceError: where the file is none, in one line that names it.
    """
    try:
        refuse_device(path)
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
        offset = float(content.pop("offset"))
        factors = {name: float(factor) for name, factor in content.pop("factors").items()}
        if not all(map(math.isfinite, (offset, *factors.values(), *(timing.ms for timing in parts.values())))):
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
    return LatencyTable(parts, offset, factors, check, content)


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
    keys = keys_of(parts)
    distinct = dict(zip(keys, parts))
    calls = {key: _call(part, device) for key, part in distinct.items()}
    timings = measure(calls, device, protocol, lambda *done: report("parts, " + done[0], *done[1:]))
    generator = torch.Generator().manual_seed(0)
    picked = [architectures.sample(space, generator) for _ in range(networks)]
    inputs = shape.inputs(batch)
    built = [space.network(space.derive(picks)).to(device) for picks in picked]
    passes = {str(place): forward_pass(network, inputs, device) for place, network in enumerate(built)}
    times = measure(passes, device, protocol, lambda *done: report("networks, " + done[0], *done[1:]))
    measured = np.array([times[str(place)].ms for place in range(networks)])
    ms = {id(part): timings[key].ms for key, part in zip(keys, parts)}
    names = list(dict.fromkeys(part.name for part in parts))
    by_name = [sums([part for part in parts if part.name == name], lambda part: ms[id(part)]) for name in names]
    added_up = np.array([[cost.of(picks) for cost in by_name] for picks in picked])
    offset, factors = _calibrated(added_up, measured)
    check = _check(added_up, measured)
    return LatencyTable(timings, offset, dict(zip(names, factors)), check, {**(about or {}), "batch": batch})


def _check(added_up: np.ndarray, measured: np.ndarray) -> Check:
    """Predict each half of the networks with the calibration of the other half; sums ``(n, c)``, times ``(n,)``."""
    even = np.arange(len(measured)) % 2 == 0
    predicted = np.empty_like(measured)
    for half in (even, ~even):
        offset, factors = _calibrated(added_up[~half], measured[~half])
        predicted[half] = offset + added_up[half] @ factors
    from scipy.stats import kendalltau  # takes half a second to import, and serves measurements alone

    tau = float(kendalltau(predicted, measured).statistic) if np.ptp(added_up) else 0.0
    error = float(np.mean(np.abs(predicted / measured - 1)))
    return Check(len(measured), tau, error, tuple(measured.tolist()), tuple(predicted.tolist()))


def _calibrated(added_up: np.ndarray, measured: np.ndarray) -> tuple[float, list[float]]:
    """Return the offset and each candidate's factor of least squares of relative errors, by ridge regression.

    The factors are shrunk towards a common one, as much as predicts a network best that is left out.

    Args:
        added_up: sums of the times of each candidate's parts in each network, ``(n, c)``.
        measured: times of the networks, ``(n,)``.
    """
    if not np.ptp(added_up, 0).any():
        return float(np.mean(measured)), [0.0] * added_up.shape[1]
    count, candidates = added_up.shape
    relative = added_up / measured[:, None]
    columns = np.concatenate([1 / measured[:, None], relative.sum(1, keepdims=True), relative], 1)
    spreads = np.sqrt(count) * relative.std(0)
    best, least = np.zeros(candidates + 2), math.inf
    for shrinkage in SHRINKAGES:
        penalty = np.concatenate([np.zeros((candidates, 2)), np.diag(np.sqrt(shrinkage) * spreads)], 1)
        inverse = np.linalg.pinv(np.concatenate([columns, penalty]))[:, :count]
        solved = inverse.sum(1)
        errors = (1 - columns @ solved) / np.maximum(1 - np.einsum("nc,cn->n", columns, inverse), 1e-9)  # left out
        if (error := float(np.square(errors).mean())) < least:
            best, least = solved, error
    offset, common, *own = best.tolist()
    return offset, [common + each for each in own]


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
