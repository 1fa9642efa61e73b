"""Several runs side by side: figures, means and spread over seeds, curves, cells, and what was set differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape as escape_html

from rich import box
from rich.markup import escape
from rich.table import Table

from darts.report.charts import chart, series
from darts.report.figures import COST, differing, is_share, mean_and_spread, ordered, title
from darts.report.html import document, table
from darts.report.page import architectures, figure
from darts.report.records import NOT_COMPUTED, Record, origin

IN_TERMINAL = ("test_accuracy", "valid_accuracy", "test_perplexity", "valid_perplexity", "parameters", *COST)
"""Figures that are printed, where a run has them; the page has all."""


def groups(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Runs that differ in nothing but their seed, by what to call them; in the order given.

    Retrainings belong together where they train one genotype, or genotypes found by one search protocol under several
    seeds.
    """
    found: dict[tuple, list[Record]] = {}
    for record in records:
        found.setdefault((record.protocol, *_trained(record)), []).append(record)
    names = [_label(runs[0]) for runs in found.values()]
    firsts = [dict(runs[0].protocol) for runs in found.values()]
    named = {}
    for name, first, runs in zip(names, firsts, found.values()):
        rivals = [other for other, label in zip(firsts, names) if label == name]
        named[", ".join([name, *(f"{key} {first[key]}" for key in differing(rivals) if key in first)])] = runs
    return named if len(named) == len(found) else {runs[0].name: runs for runs in found.values()}


def _trained(record: Record) -> tuple:
    """What a retraining trains: the protocol that found the genotype, or the genotype."""
    if record.kind == "search":
        return ()
    searched = origin(record)
    return searched.protocol if searched else (record.genotype.hash if record.genotype else "",)


def _label(record: Record) -> str:
    recipe = f"{record.kind} {record.config.get('recipe')}"
    if record.kind == "search":
        return recipe
    searched = origin(record)
    if searched:
        return f"{recipe}, architecture of search {searched.config.get('recipe')}"
    return f"{recipe}, architecture of {record.genotype.name or record.genotype.hash}" if record.genotype else recipe


def comparison_tables(records: Sequence[Record]) -> list[Table]:
    """For a terminal: a table for each group, a line for each run and one for their mean and spread."""
    tables = []
    for name, runs in groups(records).items():
        keys = [key for key in IN_TERMINAL if any(key in run.figures for run in runs)]
        shown = Table(title=escape(name), title_justify="left", title_style="bold", box=box.SIMPLE)
        shown.add_column("run", overflow="fold")
        for head in ("seed", *map(title, keys)):
            shown.add_column(head, justify="right", overflow="fold")
        for run in runs:
            shown.add_row(escape(run.name), str(run.config.get("seed")), *(figure(run, key) for key in keys))
        if len(runs) > 1:
            shown.add_section()
            shown.add_row(f"mean ± sd, n = {len(runs)}", "", *(_mean(runs, key) for key in keys))
        tables.append(shown)
    return tables


def comparison_page(records: Sequence[Record]) -> str:
    """The comparison as a document."""
    known = groups(records)
    text = "; ".join(map(_counted, known.items()))
    parts = [f"<h1>{len(records)} runs</h1>", f'<p class="soft">{escape_html(text)}.</p>']
    for kind, heading in (("search", "Searches"), ("retrain", "Retrainings")):
        of_kind = {name: runs for name, runs in known.items() if runs[0].kind == kind}
        if of_kind:
            parts += [f"<h2>{heading}</h2>", _figures(of_kind), _charts([r for runs in of_kind.values() for r in runs])]
    parts += [architectures(records), _differences(records)]
    return document(f"{len(records)} runs", parts)


def _figures(named: Mapping[str, Sequence[Record]]) -> str:
    """A column for each run, and before them one for the mean of a group of several."""
    keys = ordered({key for runs in named.values() for run in runs for key in run.figures})
    heads, columns = [], []
    for name, runs in named.items():
        if len(runs) > 1:
            heads.append(f"mean ± standard deviation of {len(runs)}: {name}")
            columns.append([_mean(runs, key) for key in keys])
        for run in runs:
            heads.append(run.name)
            columns.append([figure(run, key) for key in keys])
    return table(["", *heads], [[title(key), *values] for key, *values in zip(keys, *columns)], numbers=True)


def _counted(group: tuple[str, Sequence[Record]]) -> str:
    name, runs = group
    seeds = ", ".join(str(run.config.get("seed")) for run in runs)
    return f"{name}: {len(runs)} {'run' if len(runs) == 1 else 'runs'}, {'seed' if len(runs) == 1 else 'seeds'} {seeds}"


def _mean(runs: Sequence[Record], key: str) -> str:
    values = [run.figures[key] for run in runs if key in run.figures]
    return mean_and_spread(key, values) if values else ""


def _charts(records: Sequence[Record]) -> str:
    """For each figure of the logs, the runs' curves."""
    numbers = {
        key
        for record in records
        for line in record.epochs
        for key, value in line.items()
        if isinstance(value, int | float) and key not in ("epoch", "step", "seconds")
    }
    figures = [
        chart(title(key).capitalize(), {record.name: series(record.epochs, key) for record in records}, is_share(key))
        for key in ordered(numbers)
    ]
    return f'<div class="grid">{"".join(figures)}</div>'


def _differences(records: Sequence[Record]) -> str:
    """The fields of the configurations that are not the same in all runs."""
    configs: list[Mapping[str, object]] = [{**record.config, **record.machine} for record in records]
    keys = [key for key in differing(configs) if key not in NOT_COMPUTED]
    if not keys:
        return ""
    rows = [[key, *("" if config.get(key) is None else str(config[key]) for config in configs)] for key in keys]
    return "<h2>What was set differently</h2>" + table(["", *(record.name for record in records)], rows)
