"""What the folder of a run holds, read back: its configuration, log, figures and genotype."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from darts.artifacts.log import read_log
from darts.artifacts.run_folder import read_config, read_object
from darts.config.schema import flat
from darts.errors import UserError
from genotypes import GenotypeError
from genotypes.formats.registry import Genotype, find, read

NOT_COMPUTED = ("run.name", "run.runs", "run.resume", "run.report_every", "run.checkpoint_minutes",
                "run.keep_checkpoints", "data.root", "data.download", "data.workers")  # fmt: skip
"""Fields of a configuration that change no figure."""


@dataclass(frozen=True)
class Record:
    """A run as its folder shows it, finished or not.

    Attributes:
        folder: of the run.
        kind: ``search`` or ``retrain``.
        config: the configuration, by dotted names.
        command: that began the run.
        machine: what ran it, with its versions.
        epochs, steps: lines of the log.
        metrics: the final figures; empty while it runs.
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
        return self.folder.name

    @property
    def finished(self) -> bool:
        return bool(self.metrics)

    @property
    def seconds(self) -> float | None:
        """What the run has taken, without its interruptions."""
        lines = (*self.epochs, *self.steps)
        return max((line["seconds"] for line in lines), default=None)

    @property
    def images_per_second(self) -> float | None:
        """Images that were trained on in a second: the median over the log's intervals, without evaluations.

        A search's step has two batches, one for the weights and one for the logits. Where no epoch has two lines of
        steps, the median over whole epochs, their evaluation included.
        """
        batch = self.config.get("batch_size")
        within = [(a, b) for a, b in pairwise(self.steps) if a["epoch"] == b["epoch"]]
        lines = within or list(pairwise(({"step": 0, "seconds": 0.0}, *self.epochs)))
        rates = [
            (b["step"] - a["step"]) / (b["seconds"] - a["seconds"]) for a, b in lines if b["seconds"] > a["seconds"]
        ]
        if not rates or not _number(batch):
            return None
        return statistics.median(rates) * batch * (2 if self.kind == "search" else 1)

    @property
    def figures(self) -> dict[str, float]:
        """The newest value of everything that is a number: results, then cost."""
        newest = flat(self.epochs[-1]) if self.epochs else {}
        dull = ("epoch", "step", "seconds")
        found = {key: value for key, value in newest.items() if _number(value) and key not in dull and "." not in key}
        found |= {key: value for key, value in self.metrics.items() if _number(value) and key not in ("seed", "epochs")}
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
        """All of the configuration that runs of several seeds share: runs of one protocol are averaged."""
        free = {*NOT_COMPUTED, "seed", "genotype"}
        kept = {key: json.dumps(value) for key, value in self.config.items() if key not in free}
        return tuple(sorted({"kind": self.kind, **kept}.items()))


def read_record(folder: Path) -> Record:
    """Read a run's folder.

    Raises:
        UserError: where it is none.
    """
    content = read_config(folder)
    if content.get("kind") not in ("search", "retrain") or not isinstance(content.get("config"), dict):
        raise UserError(f"{folder}: no config.json of a run; give a folder that train_search.py or train_final.py made")
    lines = _lines(folder)
    epochs, steps = ([line for line in lines if line["event"] == event] for event in ("epoch", "step"))
    config = flat(content["config"])
    command, machine = content.get("command"), content.get("machine")
    return Record(
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


def origin(record: Record) -> Record | None:
    """The search beside a retraining that found its genotype."""
    genotype = record.genotype
    if record.kind != "retrain" or genotype is None or not genotype.name:
        return None
    folder = record.folder.parent / Path(genotype.name).name
    if read_config(folder).get("kind") != "search":
        return None
    search = read_record(folder)
    return search if search.genotype == genotype else None


def retrainings(record: Record) -> list[Record]:
    """The finished retrainings beside a search that trained what it found, by name."""
    if record.kind != "search" or record.genotype is None:
        return []
    found = []
    for path in sorted(record.folder.parent.glob("*/genotype.json")):
        genotype = _genotype(path.parent, [], {})
        if genotype == record.genotype and genotype.name == record.name:
            found.append(path.parent)
    return [read_record(folder) for folder in found if read_config(folder).get("kind") == "retrain"]


def _lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of a log that are lines of a log, without what cannot be shown of them."""
    sound = []
    for line in read_log(folder) if (folder / "log.jsonl").is_file() else []:
        if not isinstance(line, dict) or not isinstance(line.get("event"), str) or not _number(line.get("seconds")):
            continue
        if type(line.get("epoch")) is not int or type(line.get("step")) is not int:
            continue
        holds = {"usage": _numbers, "gates": _gates}
        sound.append({key: value for key, value in line.items() if key not in holds or holds[key](value)})
    return sound


def _gates(value: Any) -> bool:
    """Whether a value is what ``heatmap.listed`` makes of gates."""
    tables = value.values() if isinstance(value, dict) else [None]
    return all(
        isinstance(table, dict)
        and isinstance(table.get("rows"), dict)
        and isinstance(table.get("candidates"), list)
        and all(isinstance(name, str) for name in table["candidates"])
        and all(isinstance(row, list) and row and all(map(_number, row)) for row in table["rows"].values())
        for table in tables
    )


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_number, value.values()))


def _genotype(folder: Path, epochs: list[dict[str, Any]], config: Mapping[str, Any]) -> Genotype | None:
    try:
        if (folder / "genotype.json").is_file():
            return find(folder / "genotype.json")
        if epochs and epochs[-1].get("genotype"):
            return read(epochs[-1]["genotype"])
        return find(config["genotype"]) if config.get("genotype") else None
    except GenotypeError:
        return None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
