"""The report of one run: ``report.html``, a single file that a browser shows without network and without scripts."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from darts.report.charts import chart, heat_maps, largest_gate, legend, series
from darts.report.figures import COST, is_share, ordered, title, written
from darts.report.records import Record, origin, read_record, retrainings
from genotypes import CellGenotype, remarks
from genotypes.draw import outline, svg
from genotypes.files import write_atomically
from genotypes.kinds import describe, picture

FILE = "report.html"

CURVES = (
    ("Loss", ("train_loss", "valid_loss", "test_loss")),
    ("Accuracy", ("train_accuracy", "valid_accuracy", "test_accuracy")),
)
"""The charts of every run; further figures follow by what they have in common."""

MOST_RETRAININGS = 12
"""The newest retrainings of a search are shown, no more."""

STYLE = """
:root { color-scheme: light dark; --text: #1b2733; --soft: #5b6b7a; --line: #d3dae0; --ground: #ffffff; --card: #f5f7f9;
  --c0: #1f6fb5; --c1: #c2571a; --c2: #2b8a4b; --c3: #a03a8f; --c4: #8a6d00; --c5: #0b8a94; --c6: #b3263e;
  --c7: #5f6b76 }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --soft: #9dabb8; --line: #3a4550; --ground: #14191f;
  --card: #1d242b; --c0: #6cb2f0; --c1: #f0935a; --c2: #6fce8e; --c3: #dd86cf; --c4: #d9bd4a; --c5: #5fd0da;
  --c6: #f0798c; --c7: #aab6c1 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 20px 16px 48px; max-width: 1160px; background: var(--ground); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif }
h1 { font-size: 24px; margin: 0 0 2px; overflow-wrap: anywhere } h2 { font-size: 18px; margin: 34px 0 10px }
h3 { font-size: 15px; margin: 20px 0 8px; overflow-wrap: anywhere }
p { margin: 6px 0 } .soft { color: var(--soft) }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 10px; margin: 16px 0 0;
  padding: 0 }
.cards div { background: var(--card); border-radius: 8px; padding: 8px 12px } .cards dt { color: var(--soft);
  font-size: 13px } .cards dd { margin: 0; font-size: 18px; font-weight: 600 }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 14px 22px }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); gap: 12px 22px }
figure { margin: 0; min-width: 0 } figcaption { font-weight: 600; font-size: 14px; margin-bottom: 2px }
.genotype { display: block; max-width: 100%; height: auto }
.chart { display: block; width: 100%; height: auto }
.chart text { font: 11px system-ui, sans-serif; fill: var(--soft); dominant-baseline: central }
.chart .y { text-anchor: end } .chart .x { text-anchor: middle }
.chart .grid { stroke: var(--line); stroke-width: 0.7 } .chart g path { fill: none; stroke-width: 1.8 }
.chart .dashed path { stroke-dasharray: 5 3 } .chart circle { stroke: none }
.legend { display: flex; flex-wrap: wrap; gap: 0 14px; font-size: 13px; color: var(--soft); margin: 0 0 0 12px }
.legend span { overflow-wrap: anywhere } .legend b { color: var(--text) }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px }
.map div { display: grid; grid-template-columns: auto minmax(60px, 1fr) auto; gap: 0 6px; font-size: 11px;
  line-height: 14px; color: var(--soft) }
.map b { color: var(--text) } .map .names { text-align: right } .map img { width: 100%;
  image-rendering: pixelated; border: 1px solid var(--line) } .map figcaption { font-size: 12px }
.scale img { width: 180px; height: 11px; image-rendering: pixelated; vertical-align: middle }
.scroll { overflow-x: auto } .scroll + .grid { margin-top: 20px } table { border-collapse: collapse; font-size: 14px }
th, td { text-align: left; padding: 3px 14px 3px 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 600 } td { overflow-wrap: anywhere } .number { text-align: right; white-space: nowrap }
th.number { white-space: normal; overflow-wrap: anywhere; min-width: 104px }
th:first-child, td:first-child { white-space: nowrap; position: sticky; left: 0; background: var(--ground) }
.narrow { display: none } @media (max-width: 700px) { pre.narrow { display: block; font-size: 11px } }
pre { background: var(--card); border-radius: 8px; padding: 10px 12px; font-size: 13px; white-space: pre-wrap;
  overflow-wrap: anywhere; margin: 8px 0 }
""" + "".join(
    f".legend .c{k} {{ background: var(--c{k}) }} .chart .c{k} path {{ stroke: var(--c{k}) }} "
    f".chart .c{k} circle {{ fill: var(--c{k}) }}\n"
    for k in range(8)
)


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
        write_atomically(run.folder / FILE, run_page(run).encode())
    return folder / FILE


def run_page(record: Record) -> str:
    """The report of one run as a document. A search's shows its retrainings, a retraining's its search."""
    searched, trained = origin(record), retrainings(record)[-MOST_RETRAININGS:]
    related = [*([searched] if searched else []), *trained]
    parts = [heading(record), _cards(record), cells([record]), "<h2>Curves</h2>", curves(record)]
    for run in related:
        word = "The search that found it" if run is searched else "Retraining"
        parts += [f"<h3>{word}: {_link(run, record)}</h3>", _charts(run, CURVES if run is not searched else None)]
    parts.append(gates(record) or (gates(searched) if searched else ""))
    parts += [costs([record, *related]), _reproduction([*([searched] if searched else []), record, *trained])]
    parts.append(configuration(record))
    return document(record.name, parts)


def document(name: str, parts: Iterable[str]) -> str:
    """A whole page. Its policy forbids the browser to load or run anything."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(name)}</title>\n<style>{STYLE}</style></head><body>\n"
        + "\n".join(filter(None, parts))
        + "\n</body></html>\n"
    )


def heading(record: Record) -> str:
    """What the run is and how far it came."""
    verb = "Search" if record.kind == "search" else "Retraining"
    recipe, data, seed = (record.config.get(key) for key in ("recipe", "data.name", "seed"))
    of = f" of {record.config['genotype']}" if record.config.get("genotype") else ""
    done, asked = len(record.epochs), record.config.get("epochs")
    state = f"finished after {done} epochs" if record.finished else f"not finished: {done} of {asked} epochs so far"
    text = f"{verb}{of} by recipe {recipe} on {data}, seed {seed}; {state}."
    return f'<h1>{escape(record.name)}</h1><p class="soft">{escape(text)}</p>'


def _cards(record: Record) -> str:
    figures = record.figures
    keys = [key for key in ordered(set(figures)) if key not in ("test_loss", "train_loss", "valid_loss")]
    items = "".join(f"<div><dt>{escape(title(key))}</dt><dd>{written(key, figures[key])}</dd></div>" for key in keys)
    return f'<dl class="cards">{items}</dl>'


def cells(records: Sequence[Record]) -> str:
    """Pictures of what the runs found or trained, with what is odd about it; equal genotypes once."""
    found = {run.genotype.hash: run.genotype.named(run.genotype.name or run.name) for run in records if run.genotype}
    parts = []
    for genotype in found.values():
        if isinstance(genotype, CellGenotype):
            odd = "".join(f'<p class="soft">{escape(field)}: {escape(text)}</p>' for field, text in remarks(genotype))
            drawing = f'<figure>{svg(genotype)}</figure><pre class="narrow">{escape(outline(genotype))}</pre>{odd}'
        else:
            code = base64.b64encode(picture(genotype).encode()).decode()
            drawing = f'<img class="genotype" src="data:image/svg+xml;base64,{code}" alt="{escape(str(genotype))}">'
        parts.append(f"{drawing}<pre>{escape(describe(genotype))}</pre>")
    return "<h2>Cells</h2>" + "".join(parts) if parts else ""


def curves(record: Record) -> str:
    """Charts of everything that the log has for each epoch."""
    return _charts(record, None)


def _charts(record: Record, wanted: Sequence[tuple[str, tuple[str, ...]]] | None) -> str:
    """The wanted charts; all by default."""
    lines = record.epochs
    numbers = {key for line in lines for key, value in line.items() if isinstance(value, int | float)}
    groups = [(name, [key for key in keys if key in numbers]) for name, keys in wanted or CURVES]
    if wanted is None:
        known = {key for _, keys in CURVES for key in keys} | {"epoch", "step", "seconds"}
        further: dict[str, list[str]] = {}
        for key in sorted(numbers - known):
            further.setdefault(_stem(key), []).append(key)
        groups += [(_heading(stem), keys) for stem, keys in further.items()]
    figures = [
        chart(name, {title(key): series(lines, key) for key in keys}, all(map(is_share, keys)))
        for name, keys in groups
        if keys
    ]
    return f'<div class="grid">{"".join(figures)}</div>' if any(figures) else '<p class="soft">No epoch yet.</p>'


def _stem(key: str) -> str:
    """What figures of both cells have in common: ``gate_entropy_normal`` -> ``gate_entropy``."""
    for label in ("_normal", "_reduce"):
        key = key.removesuffix(label)
    return key


def _heading(stem: str) -> str:
    names = {"gate_entropy": "Entropy of the gates (1: undecided)", "skips": "Skip connections"}
    return names.get(stem, stem.replace("_", " ").capitalize())


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
    rows = [
        [run.name, *(written(key, run.figures[key]) if key in run.figures else "" for key in keys)] for run in records
    ]
    machines = {run.machine.get("device") for run in records} - {None}
    where = f'<p class="soft">On {escape(", ".join(sorted(machines)))}.</p>' if machines else ""
    return "<h2>Cost</h2>" + table(["run", *map(title, keys)], rows, numbers=True) + where if keys else ""


def figure(record: Record, key: str) -> str:
    """A run's figure with its unit; empty where it has none."""
    return written(key, record.figures[key]) if key in record.figures else ""


def _reproduction(records: Sequence[Record]) -> str:
    """The commands that give these runs again, in their order, and what ran them."""
    commands = "\n".join(shlex.join(run.command) for run in records if run.command)
    made = [{"seed": run.config.get("seed"), **run.machine} for run in records]
    rows = [[key, *(_told(one.get(key)) for one in made)] for key in dict.fromkeys(k for one in made for k in one)]
    return f"<h2>Reproduce</h2><pre>{escape(commands)}</pre>" + table(["", *(run.name for run in records)], rows)


def configuration(record: Record) -> str:
    """Every field of the configuration."""
    rows = [[name, _told(value)] for name, value in record.config.items()]
    return "<h2>Configuration</h2>" + table(["field", "value"], rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = False) -> str:
    """A table of text; with ``numbers`` all columns but the first are set flush right."""
    kinds = ["", *([' class="number"' if numbers else ""] * (len(heads) - 1))]
    head = "".join(f"<th{kind}>{escape(text)}</th>" for text, kind in zip(heads, kinds))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, kinds)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table>{f"<tr>{head}</tr>" if any(heads) else ""}{body}</table></div>'


def _link(run: Record, of: Record) -> str:
    """A run's name, leading to its report where that stands beside this one's."""
    place = f"../{run.folder.name}/{FILE}"
    there: Mapping[str, Any] = {"href": place} if (run.folder / FILE).exists() and run.folder != of.folder else {}
    return f'<a href="{escape(there["href"])}">{escape(run.name)}</a>' if there else escape(run.name)


def _told(value: Any) -> str:
    return "" if value is None else str(value)
