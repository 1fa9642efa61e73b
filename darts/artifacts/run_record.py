"""The record of a run, read from its folder: its configuration, log, figures and genotype."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from darts.artifacts.log import STOPPED, read_log
from darts.artifacts.run_folder import MODEL, read_config, read_object
from darts.config import flat
from darts.errors import UserError
from genotypes import Genotype, GenotypeError, load, read

NOT_COMPUTED = ("run.name", "run.runs", "run.resume", "run.report_every", "run.checkpoint_minutes",
                "run.keep_checkpoints", "data.root", "data.download", "data.workers")  # fmt: skip
"""Fields of a configuration that have no influence on any result."""

MAX_POSITION = 2**53
"""Epochs and steps from here on are no positions of a run."""

POSITION = ("epoch", "step", "seconds")
"""Entries of a log line that say when it was written."""


@dataclass(frozen=True)
class RunRecord:
    """A run, finished or not, as its folder describes it.

    Attributes:
        folder: the run's folder.
        kind: ``search`` or ``retrain``.
        config: the configuration, dotted field name -> value.
        command: the command line that started the run.
        machine: the device and the versions that it ran on.
        epochs, steps: lines of the log, by event.
        metrics: the final figures; empty until the run has finished.
        genotype: the final one, or the newest; None where there is none that can be read.
    """

    folder: Path
    kind: str
    config: Mapping[str, Any]
    command: tuple[str, ...]
    machine: Mapping[str, Any]
    epochs: tuple[Mapping[str, Any], ...]
    steps: tuple[Mapping[str, Any], ...]
    metrics: Mapping[str, Any]
    genotype: Genotype | None

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.folder.name

    @property
    def finished(self) -> bool:
        """Whether the run has done all its epochs and written its final figures.

        A run that has stopped at a limit of steps or of time writes figures too; it can be resumed, and is not finished
        until it has as many epochs as its final figures.
        """
        planned = self.metrics.get("epochs", 0)
        behind = _is_number(planned) and len(self.epochs) < planned
        return bool(self.metrics) and self.stopped is None and not behind

    @property
    def stopped(self) -> str | None:
        """Where a limit of steps or of time has stopped the run, such as ``after 12 of 90``; None where none has."""
        where = self.epochs[-1].get(STOPPED) if self.epochs else None
        return where if isinstance(where, str) else None

    @property
    def seconds(self) -> float | None:
        """The time that the run has taken, without its interruptions."""
        lines = (*self.epochs, *self.steps)
        return max((line["seconds"] for line in lines), default=None)

    @property
    def images_per_second(self) -> float | None:
        """Training examples per second: the median over the log's intervals, without evaluations.

        A search's step has two batches, one for the weights and one for the logits. Where no epoch has two lines of
        steps, it is the median over whole epochs, evaluation included.
        """
        batch = self.config.get("batch_size")
        within = [(a, b) for a, b in pairwise(self.steps) if a["epoch"] == b["epoch"]]
        lines = within or list(pairwise(({"step": 0, "seconds": 0.0}, *self.epochs)))
        rates = [
            (b["step"] - a["step"]) / (b["seconds"] - a["seconds"]) for a, b in lines if b["seconds"] > a["seconds"]
        ]
        if not rates or not _is_number(batch):
            return None
        return statistics.median(rates) * batch * (2 if self.kind == "search" else 1)

    @property
    def figures(self) -> dict[str, float]:
        """The newest value of every number that was logged: results, then cost."""
        newest = flat(self.epochs[-1]) if self.epochs else {}
        logged = {key: value for key, value in newest.items() if key not in POSITION and "." not in key}
        final = {key: value for key, value in self.metrics.items() if key not in ("seed", "epochs")}
        found = {key: value for part in (logged, final) for key, value in part.items() if _is_number(value)}
        used = [line.get("usage", {}) for line in self.epochs]
        joules = [usage["energy_j"] for usage in used if "energy_j" in usage]
        cost = {
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "peak_memory_mib": max((usage.get("peak_memory_mib", 0) for usage in used), default=None) or None,
            "energy_j": sum(joules) if joules else None,
        }
        return found | {key: value for key, value in cost.items() if value is not None}

    @property
    def protocol(self) -> tuple[tuple[str, str], ...]:
        """The configuration without seed and bookkeeping: runs of one protocol are averaged."""
        free = {*NOT_COMPUTED, "seed", "genotype"}
        kept = {key: json.dumps(value) for key, value in self.config.items() if key not in free}
        return tuple(sorted({"kind": self.kind, **kept}.items()))


KINDS = ("search", "retrain")
"""Kinds of runs that have records."""


def is_run(folder: Path) -> bool:
    """Return whether a path is the folder of a run."""
    content = read_config(folder)
    return content.get("kind") in KINDS and isinstance(content.get("config"), dict)


def read_record(folder: Path) -> RunRecord:
    """Read a run's folder.

    Raises:
        UserError: where the folder is not a run's.
    """
    if not is_run(folder):
        if (folder / MODEL).exists():
            raise UserError(f"{folder}: a model of darts.fit, not a run; use it in Python: darts.load({str(folder)!r})")
        raise UserError(f"{folder}: no config.json of a run; give a folder that train_search.py or train_final.py made")
    content = read_config(folder)
    lines = _lines(folder)
    epochs, steps = ([line for line in lines if line["event"] == event] for event in ("epoch", "step"))
    config = flat(content["config"])
    command, machine = content.get("command"), content.get("machine")
    return RunRecord(
        folder=folder,
        kind=content["kind"],
        config=config,
        command=tuple(map(str, command)) if isinstance(command, list) else (),
        machine=machine if isinstance(machine, dict) else {},
        epochs=tuple(epochs),
        steps=tuple(steps),
        metrics=read_object(folder / "metrics.json"),
        genotype=_genotype(folder, epochs, config),
    )


def search_of(record: RunRecord) -> RunRecord | None:
    """Return the search in the same folder of runs that found a retraining's genotype; None where there is none."""
    genotype = record.genotype
    if record.kind != "retrain" or genotype is None or not genotype.name:
        return None
    folder = record.folder.parent / Path(genotype.name).name
    if not is_run(folder):
        return None
    search = read_record(folder)
    return search if search.kind == "search" and search.genotype == genotype else None


def retrainings_of(record: RunRecord) -> list[RunRecord]:
    """Return the finished retrainings of a search's genotype in the same folder of runs, sorted by name."""
    if record.kind != "search" or record.genotype is None:
        return []
    found = []
    for path in sorted(record.folder.parent.glob("*/genotype.json")):
        genotype = _genotype(path.parent, [], {})
        if genotype == record.genotype and genotype.name == record.name:
            found.append(path.parent)
    return [record for folder in found if is_run(folder) and (record := read_record(folder)).kind == "retrain"]


def _lines(folder: Path) -> list[dict[str, Any]]:
    """Return the valid lines of a log, without their invalid entries."""
    valid = []
    for line in read_log(folder) if (folder / "log.jsonl").is_file() else []:
        if not isinstance(line, dict) or not isinstance(line.get("event"), str) or not _is_number(line.get("seconds")):
            continue
        if not all(type(line.get(key)) is int and 0 <= line[key] < MAX_POSITION for key in ("epoch", "step")):
            continue
        checks = {"usage": _is_usage, "gates": _is_gates}
        valid.append({key: value for key, value in line.items() if key not in checks or checks[key](value)})
    return valid


def _is_gates(value: Any) -> bool:
    """Return whether a value has the form of ``gate_heatmaps.gates_to_json``."""
    tables = value.values() if isinstance(value, dict) else [None]
    return all(
        isinstance(table, dict)
        and isinstance(table.get("rows"), dict)
        and isinstance(table.get("candidates"), list)
        and all(isinstance(name, str) for name in table["candidates"])
        and all(isinstance(row, list) and row and all(map(_is_number, row)) for row in table["rows"].values())
        for table in tables
    )


def _is_usage(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _genotype(folder: Path, epochs: list[dict[str, Any]], config: Mapping[str, Any]) -> Genotype | None:
    try:
        if (folder / "genotype.json").is_file():
            return load(folder / "genotype.json")
        if epochs and epochs[-1].get("genotype"):
            return read(epochs[-1]["genotype"])
        return load(config["genotype"]) if config.get("genotype") else None
    except GenotypeError:
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
