"""The report of one run: ``report.html``, a single file that a browser shows without network and without scripts."""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from darts.artifacts.run_record import RunRecord, read_record, retrainings_of, search_of
from darts.report.charts import chart, heat_maps, largest_gate, legend, series
from darts.report.figures import COST, formatted, is_share, ordered, title
from darts.report.html import document, table
from darts.report.pareto_chart import pareto_svg
from darts.report.study_page import study_heading, study_parts
from darts.report.trials import is_study, read_study
from darts.training.progress import pluralize
from genotypes import describe, picture
from genotypes.atomic_write import write_atomically
from genotypes.formats.registry import row_of

FILE = "report.html"
PARETO_FILE = "pareto.svg"

CURVES = (
    ("Loss", ("train_loss", "valid_loss", "test_loss")),
    ("Accuracy", ("train_accuracy", "valid_accuracy", "test_accuracy")),
    ("Mean IoU", ("valid_mean_iou", "test_mean_iou")),
    ("Pixel accuracy", ("train_pixel_accuracy", "valid_pixel_accuracy", "test_pixel_accuracy")),
    ("Average precision, .5:.95", ("valid_average_precision", "test_average_precision")),
    ("Average precision, .5", ("valid_average_precision_50", "test_average_precision_50")),
    ("Perplexity", ("valid_perplexity", "test_perplexity")),
)
"""The charts of every run; charts of further figures follow, grouped by ``STEMS``."""

STEMS = {"gate_entropy": "Entropy of the gates (1: undecided)", "skips": "Skip connections"}
"""Beginning of the names of figures that are logged once for each choice table -> the title of their chart."""

COST_FIGURES = ("expected_", "derived_")
"""Beginnings of the names of a cost's figures, which share a chart: under the gates, and of the derived network."""

MAX_RETRAININGS = 12
"""Number of retrainings, the last by name, that a search's report shows."""


def write_report(folder: Path) -> Path:
    """Write a run's ``report.html``; after a retraining, also that of the search beside it that found the genotype.

    Returns:
        The path of the report.

    Raises:
        UserError: where the folder is not a run's.
    """
    record = read_record(folder)
    searched = search_of(record)
    for run in (record, *([searched] if searched else [])):
        if is_study(run) and len((study := read_study(run)).objectives) > 1 and study.evaluated:
            write_atomically(run.folder / PARETO_FILE, pareto_svg(study).encode())
        write_atomically(run.folder / FILE, run_page(run).encode(errors="replace"))
    return folder / FILE


def run_page(record: RunRecord) -> str:
    """Return the report of one run as a page; a search's shows its retrainings too, a retraining's its search."""
    searched, trained = search_of(record), retrainings_of(record)[-MAX_RETRAININGS:]
    related = [*([searched] if searched else []), *trained]
    if is_study(record):
        parts = [study_heading(record), _cards(record), *study_parts(record), architectures([record])]
    else:
        parts = [heading(record), _cards(record), architectures([record]), "<h2>Curves</h2>", _charts(record)]
    for run in related:
        word = "The search that found it" if run is searched else "Retraining"
        curves = study_parts(run)[0] if is_study(run) else _charts(run, further=run is searched)
        parts += [f"<h3>{word}: {_link(run)}</h3>", curves]
    parts += [predictions(run) for run in (record, *related)]
    parts.append(gates(record) or (gates(searched) if searched else ""))
    parts += [costs([record, *related]), _reproduction([*([searched] if searched else []), record, *trained])]
    parts.append(configuration(record))
    return document(record.name, parts)


def heading(record: RunRecord) -> str:
    """Return the heading: what the run is, and its progress."""
    verb = "Search" if record.kind == "search" else "Retraining"
    recipe, data, seed = (record.config.get(key) for key in ("recipe", "data.name", "seed"))
    of = f" of {record.config['genotype']}" if record.config.get("genotype") else ""
    done, planned = len(record.epochs), record.config.get("epochs")
    end = f"finished after {pluralize(done, 'epoch')}"
    so_far = f"stopped {record.stopped} steps" if record.stopped else f"{done} of {planned} epochs so far"
    state = end if record.finished else f"not finished: {so_far}"
    text = f"{verb}{of} by recipe {recipe} on {data}, seed {seed}; {state}."
    return f'<h1>{escape(record.name)}</h1><p class="soft">{escape(text)}</p>'


def _cards(record: RunRecord) -> str:
    figures = record.figures
    keys = [key for key in ordered(set(figures)) if key not in ("test_loss", "train_loss", "valid_loss")]
    items = "".join(f"<div><dt>{escape(title(key))}</dt><dd>{formatted(key, figures[key])}</dd></div>" for key in keys)
    return f'<dl class="cards">{items}</dl>'


def architectures(records: Sequence[RunRecord]) -> str:
    """Return drawings of the runs' genotypes with the warnings about them; equal genotypes once."""
    found = {run.genotype.hash: run.genotype.named(run.genotype.name or run.name) for run in records if run.genotype}
    parts = []
    for genotype in found.values():
        row = row_of(genotype)
        if row.embeddable:
            notes = [f'<p class="soft">{escape(field)}: {escape(text)}</p>' for field, text in row.warnings(genotype)]
            outline = f'<pre class="narrow">{escape(row.outline(genotype))}</pre>'
            drawing = f"<figure>{picture(genotype)}</figure>{outline}{''.join(notes)}"
        else:
            code = base64.b64encode(picture(genotype).encode()).decode()
            drawing = f'<img class="genotype" src="data:image/svg+xml;base64,{code}" alt="{escape(str(genotype))}">'
        parts.append(f"{drawing}<pre>{escape(describe(genotype))}</pre>")
    return "<h2>Architecture</h2>" + "".join(parts) if parts else ""


def _charts(record: RunRecord, further: bool = True) -> str:
    """Return curves of losses and accuracies and, with ``further``, of all other figures logged every epoch."""
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
    """Return a figure's chart: ``gate_entropy`` of ``gate_entropy_normal``, ``cost: memory`` of ``derived_memory``."""
    for beginning in COST_FIGURES:
        if key.startswith(beginning):
            return f"cost: {key.removeprefix(beginning)}"
    return next((stem for stem in STEMS if key.startswith(stem)), key)


def _heading(stem: str) -> str:
    return STEMS.get(stem, stem.replace("_", " ").capitalize())


def gates(record: RunRecord) -> str:
    """Return heat maps of the gates over time; empty for a run that logged none."""
    lines = [line for line in record.epochs if line.get("gates")]
    if not lines:
        return ""
    parts = [f"<h2>Gates by epoch</h2>{legend(largest_gate(lines))}"]
    for label, figures in heat_maps(lines).items():
        parts.append(f'<h3>{escape(label)}</h3><div class="maps">{figures}</div>')
    return "".join(parts)


def predictions(record: RunRecord) -> str:
    """Return what the network of a retraining predicts on test examples, as picture or text; empty where not known."""
    picture_file, text_file = record.folder / "predictions.png", record.folder / "predictions.txt"
    parts = []
    if picture_file.is_file():
        code = base64.b64encode(picture_file.read_bytes()).decode()
        parts.append(f'<img class="predictions" src="data:image/png;base64,{code}" alt="predictions">')
    if text_file.is_file():
        parts.append(f"<pre>{escape(text_file.read_text(encoding='utf-8', errors='replace'))}</pre>")
    return f"<h2>Predictions of {escape(record.name)}</h2>{''.join(parts)}" if parts else ""


def costs(records: Sequence[RunRecord]) -> str:
    """Return a table of what each run has cost in time, memory and energy."""
    keys = [key for key in COST if any(key in run.figures for run in records)]
    rows = [[run.name, *(figure(run, key) for key in keys)] for run in records]
    machines = {_text(run.machine.get("device")) for run in records} - {""}
    where = f'<p class="soft">On {escape(", ".join(sorted(machines)))}.</p>' if machines else ""
    return "<h2>Cost</h2>" + table(["run", *map(title, keys)], rows, numbers=True) + where if keys else ""


def figure(record: RunRecord, key: str) -> str:
    """Return a run's figure as text; empty where it has none."""
    return formatted(key, record.figures[key]) if key in record.figures else ""


def _reproduction(records: Sequence[RunRecord]) -> str:
    """Return the commands that repeat these runs, in their order, and the machines they ran on."""
    commands = "\n".join(_command(run) for run in records if run.command)
    made = [{"seed": run.config.get("seed"), **run.machine} for run in records]
    rows = [[key, *(_text(one.get(key)) for one in made)] for key in dict.fromkeys(k for one in made for k in one)]
    return f"<h2>Reproduce</h2><pre>{escape(commands)}</pre>" + table(["", *(run.name for run in records)], rows)


def _command(run: RunRecord) -> str:
    """Return the command that repeats a run in a new folder; with the genotype that a retraining chose by default."""
    words = list(run.command)
    for index in reversed(range(len(words))):
        option, equals, _ = words[index].partition("=")
        if option in ("--name", "--resume"):
            del words[index : index + (2 if option == "--name" and not equals else 1)]
    genotype = run.config.get("genotype")
    if genotype and not any(word.partition("=")[0] == "--genotype" for word in words):
        words += ["--genotype", str(genotype)]
    return shlex.join(words)


def configuration(record: RunRecord) -> str:
    """Return a table of all fields of the configuration."""
    rows = [[name, _text(value)] for name, value in record.config.items()]
    return "<h2>Configuration</h2>" + table(["field", "value"], rows)


def _link(run: RunRecord) -> str:
    """Return a run's name, linked to its report where that has been written."""
    name = escape(run.name)
    return f'<a href="../{quote(os.fsencode(run.name))}/{FILE}">{name}</a>' if (run.folder / FILE).exists() else name


def _text(value: Any) -> str:
    return "" if value is None else str(value)
