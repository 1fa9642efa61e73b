"""What the folder of a run holds, read back: its configuration, log, figures and genotype."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from darts.config import flat
from darts.errors import UserError
from darts.log import read_log
from darts.runs import read_config
from genotypes import GenotypeError
from genotypes.kinds import Genotype, find, read

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
        if not rates or not batch:
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
    lines = read_log(folder) if (folder / "log.jsonl").is_file() else []
    lines = [line for line in lines if isinstance(line, dict) and {"event", "epoch", "step", "seconds"} <= line.keys()]
    epochs, steps = ([line for line in lines if line["event"] == event] for event in ("epoch", "step"))
    config = flat(content["config"])
    return Record(
        folder=folder,
        kind=content["kind"],
        config=config,
        command=tuple(map(str, content.get("command", ()))),
        machine=content.get("machine", {}),
        epochs=tuple(epochs),
        steps=tuple(steps),
        metrics=_metrics(folder),
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


def _metrics(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


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
    return isinstance(value, int | float) and not isinstance(value, bool)
