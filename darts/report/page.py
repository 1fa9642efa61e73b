"""The report of one run: ``report.html``, a single file that a browser shows without network and without scripts."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from darts.report.charts import chart, heat_maps, largest_gate, legend, series
from darts.report.figures import COST, is_share, ordered, title, written
from darts.report.html import document, table
from darts.report.records import Record, origin, read_record, retrainings
from darts.training.progress import pluralize
from genotypes import warnings
from genotypes.atomic_write import write_atomically
from genotypes.draw.svg import outline, svg
from genotypes.formats.registry import describe, drawn, picture

FILE = "report.html"

CURVES = (
    ("Loss", ("train_loss", "valid_loss", "test_loss")),
    ("Accuracy", ("train_accuracy", "valid_accuracy", "test_accuracy")),
    ("Perplexity", ("valid_perplexity", "test_perplexity")),
)
"""The charts of every run; further figures follow by what they have in common."""

STEMS = {"gate_entropy": "Entropy of the gates (1: undecided)", "skips": "Skip connections"}
"""Figures that are logged for each table, and the title of their chart."""

MOST_RETRAININGS = 12
"""Of a search's retrainings its report shows so many, the last by name."""


def write_report(folder: Path) -> Path:
    """Write a run's ``report.html``; after a retraining, also that of the search beside it that found the genotype.

    Returns:
        Where the report stands.

    Raises:
        UserError: where the folder is no run.
    """
    record = read_record(folder)
    searched = origin(record)
    for run in (record, *([searched] if searched else [])):
        write_atomically(run.folder / FILE, run_page(run).encode(errors="replace"))
    return folder / FILE


def run_page(record: Record) -> str:
    """The report of one run as a document. A search's shows its retrainings, a retraining's its search."""
    searched, trained = origin(record), retrainings(record)[-MOST_RETRAININGS:]
    related = [*([searched] if searched else []), *trained]
    parts = [heading(record), _cards(record), architectures([record]), "<h2>Curves</h2>", _charts(record)]
    for run in related:
        word = "The search that found it" if run is searched else "Retraining"
        parts += [f"<h3>{word}: {_link(run)}</h3>", _charts(run, further=run is searched)]
    parts.append(gates(record) or (gates(searched) if searched else ""))
    parts += [costs([record, *related]), _reproduction([*([searched] if searched else []), record, *trained])]
    parts.append(configuration(record))
    return document(record.name, parts)


def heading(record: Record) -> str:
    """What the run is and how far it came."""
    verb = "Search" if record.kind == "search" else "Retraining"
    recipe, data, seed = (record.config.get(key) for key in ("recipe", "data.name", "seed"))
    of = f" of {record.config['genotype']}" if record.config.get("genotype") else ""
    done, asked = len(record.epochs), record.config.get("epochs")
    far = f"finished after {pluralize(done, 'epoch')}"
    state = far if record.finished else f"not finished: {done} of {asked} epochs so far"
    text = f"{verb}{of} by recipe {recipe} on {data}, seed {seed}; {state}."
    return f'<h1>{escape(record.name)}</h1><p class="soft">{escape(text)}</p>'


def _cards(record: Record) -> str:
    figures = record.figures
    keys = [key for key in ordered(set(figures)) if key not in ("test_loss", "train_loss", "valid_loss")]
    items = "".join(f"<div><dt>{escape(title(key))}</dt><dd>{written(key, figures[key])}</dd></div>" for key in keys)
    return f'<dl class="cards">{items}</dl>'


def architectures(records: Sequence[Record]) -> str:
    """Pictures of what the runs found or trained, with what is odd about it; equal genotypes once."""
    found = {run.genotype.hash: run.genotype.named(run.genotype.name or run.name) for run in records if run.genotype}
    parts = []
    for genotype in found.values():
        if drawn(genotype):
            odd = "".join(f'<p class="soft">{escape(field)}: {escape(text)}</p>' for field, text in warnings(genotype))
            drawing = f'<figure>{svg(genotype)}</figure><pre class="narrow">{escape(outline(genotype))}</pre>{odd}'
        else:
            code = base64.b64encode(picture(genotype).encode()).decode()
            drawing = f'<img class="genotype" src="data:image/svg+xml;base64,{code}" alt="{escape(str(genotype))}">'
        parts.append(f"{drawing}<pre>{escape(describe(genotype))}</pre>")
    return "<h2>Architecture</h2>" + "".join(parts) if parts else ""


def _charts(record: Record, further: bool = True) -> str:
    """Curves of losses and accuracies, and of everything else that the log has for each epoch."""
    lines = record.epochs
    numbers = {key for line in lines for key, value in line.items() if isinstance(value, int | float)}
    groups = [(name, [key for key in keys if key in numbers]) for name, keys in CURVES]
    if further:
        known = {key for _, keys in CURVES for key in keys} | {"epoch", "step", "seconds"}
        stems: dict[str, list[str]] = {}
        for key in sorted(numbers - known):
            stems.setdefault(_stem(key), []).append(key)
        groups += [(_heading(stem), keys) for stem, keys in stems.items()]
    figures = [
        chart(name, {title(key): series(lines, key) for key in keys}, all(map(is_share, keys)))
        for name, keys in groups
        if keys
    ]
    return f'<div class="grid">{"".join(figures)}</div>' if any(figures) else '<p class="soft">No epoch yet.</p>'


def _stem(key: str) -> str:
    """What the figures of all tables have in common: ``gate_entropy_normal`` -> ``gate_entropy``."""
    return next((stem for stem in STEMS if key.startswith(stem)), key)


def _heading(stem: str) -> str:
    return STEMS.get(stem, stem.replace("_", " ").capitalize())


def gates(record: Record) -> str:
    """Heat maps of the gates over time; empty for a run without."""
    lines = [line for line in record.epochs if line.get("gates")]
    if not lines:
        return ""
    parts = [f"<h2>Gates by epoch</h2>{legend(largest_gate(lines))}"]
    for label, figures in heat_maps(lines).items():
        parts.append(f'<h3>{escape(label)}</h3><div class="maps">{figures}</div>')
    return "".join(parts)


def costs(records: Sequence[Record]) -> str:
    """What each run took."""
    keys = [key for key in COST if any(key in run.figures for run in records)]
    rows = [[run.name, *(figure(run, key) for key in keys)] for run in records]
    machines = {_told(run.machine.get("device")) for run in records} - {""}
    where = f'<p class="soft">On {escape(", ".join(sorted(machines)))}.</p>' if machines else ""
    return "<h2>Cost</h2>" + table(["run", *map(title, keys)], rows, numbers=True) + where if keys else ""


def figure(record: Record, key: str) -> str:
    """A run's figure with its unit; empty where it has none."""
    return written(key, record.figures[key]) if key in record.figures else ""


def _reproduction(records: Sequence[Record]) -> str:
    """The commands that give these runs again, in their order, and what ran them."""
    commands = "\n".join(_again(run) for run in records if run.command)
    made = [{"seed": run.config.get("seed"), **run.machine} for run in records]
    rows = [[key, *(_told(one.get(key)) for one in made)] for key in dict.fromkeys(k for one in made for k in one)]
    return f"<h2>Reproduce</h2><pre>{escape(commands)}</pre>" + table(["", *(run.name for run in records)], rows)


def _again(run: Record) -> str:
    """The command that gives a run again, beside the run: with the genotype that it found by itself, and no name."""
    words = list(run.command)
    for index in reversed(range(len(words))):
        option, given, _ = words[index].partition("=")
        if option in ("--name", "--resume"):
            del words[index : index + (2 if option == "--name" and not given else 1)]
    genotype = run.config.get("genotype")
    if genotype and not any(word.partition("=")[0] == "--genotype" for word in words):
        words += ["--genotype", str(genotype)]
    return shlex.join(words)


def configuration(record: Record) -> str:
    """Every field of the configuration."""
    rows = [[name, _told(value)] for name, value in record.config.items()]
    return "<h2>Configuration</h2>" + table(["field", "value"], rows)


def _link(run: Record) -> str:
    """A run's name, leading to its report where that has been written."""
    name = escape(run.name)
    return f'<a href="../{name}/{FILE}">{name}</a>' if (run.folder / FILE).exists() else name


def _told(value: Any) -> str:
    return "" if value is None else str(value)
