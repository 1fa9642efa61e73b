"""The comparison of runs: figures, mean and standard deviation over seeds, curves, genotypes, and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape as escape_html

from rich import box
from rich.table import Table
from rich.text import Text

from darts.artifacts.run_record import NOT_COMPUTED, RunRecord, search_of
from darts.report import html
from darts.report.charts import chart, series
from darts.report.compare_studies import compared_studies
from darts.report.figures import COST, differing, is_share, mean_and_spread, ordered, title
from darts.report.page import architectures, figure

PRINTED = (
    "test_accuracy",
    "valid_accuracy",
    "test_mean_iou",
    "valid_mean_iou",
    "test_average_precision",
    "test_average_precision_50",
    "valid_average_precision",
    "test_perplexity",
    "valid_perplexity",
    "parameters",
    *COST,
)
"""Figures of the printed table; the page has all figures."""


def groups(records: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Group runs that differ in nothing but their seed, label -> runs, in the given order.

    Retrainings belong together where they train one genotype, or genotypes that one search protocol found under several
    seeds.
    """
    found: dict[tuple, list[RunRecord]] = {}
    for record in records:
        found.setdefault((record.protocol, *_trained(record)), []).append(record)
    names = [_label(runs[0]) for runs in found.values()]
    firsts = [dict(runs[0].protocol) for runs in found.values()]
    named = {}
    for name, first, runs in zip(names, firsts, found.values()):
        rivals = [other for other, label in zip(firsts, names) if label == name]
        named[", ".join([name, *(f"{key} {first[key]}" for key in differing(rivals) if key in first)])] = runs
    return named if len(named) == len(found) else {runs[0].name: runs for runs in found.values()}


def _trained(record: RunRecord) -> tuple:
    """Return what identifies a retraining's genotype: the protocol of the search that found it, or its hash."""
    if record.kind == "search":
        return ()
    searched = search_of(record)
    return searched.protocol if searched else (record.genotype.hash if record.genotype else "",)


def _label(record: RunRecord) -> str:
    recipe = f"{record.kind} {record.config.get('recipe')}"
    if record.kind == "search":
        return recipe
    searched = search_of(record)
    if searched:
        return f"{recipe}, architecture of search {searched.config.get('recipe')}"
    return f"{recipe}, architecture of {record.genotype.name or record.genotype.hash}" if record.genotype else recipe


def comparison_tables(records: Sequence[RunRecord]) -> list[Table]:
    """Return a table for each group to print: a row for each run, and one for mean and standard deviation."""
    tables = []
    for name, runs in groups(records).items():
        keys = [key for key in PRINTED if any(key in run.figures for run in runs)]
        table = Table(title=Text(name), title_justify="left", title_style="bold", box=box.SIMPLE)
        table.add_column("run", overflow="fold")
        for head in ("seed", *map(title, keys)):
            table.add_column(head, justify="right", overflow="fold")
        for run in runs:
            table.add_row(Text(run.name), str(run.config.get("seed")), *(figure(run, key) for key in keys))
        if len(runs) > 1:
            table.add_section()
            table.add_row(f"mean ± sd, n = {len(runs)}", "", *(_mean(runs, key) for key in keys))
        tables.append(table)
    return tables


def comparison_page(records: Sequence[RunRecord]) -> str:
    """Return the comparison as a page."""
    known = groups(records)
    text = "; ".join(map(_group_text, known.items()))
    parts = [f"<h1>{len(records)} runs</h1>", f'<p class="soft">{escape_html(text)}.</p>']
    for kind, heading in (("search", "Searches"), ("retrain", "Retrainings")):
        of_kind = {name: runs for name, runs in known.items() if runs[0].kind == kind}
        if of_kind:
            parts += [f"<h2>{heading}</h2>", _figures(of_kind), compared_studies(of_kind)]
            parts.append(_charts([r for runs in of_kind.values() for r in runs if r.epochs]))
    parts += [architectures(records), _differences(records)]
    return html.document(f"{len(records)} runs", parts)


def _figures(named: Mapping[str, Sequence[RunRecord]]) -> str:
    """Return a table with a column for each run, and one for the mean of each group of several, before its runs."""
    keys = ordered({key for runs in named.values() for run in runs for key in run.figures})
    heads, columns = [], []
    for name, runs in named.items():
        if len(runs) > 1:
            heads.append(f"mean ± standard deviation of {len(runs)}: {name}")
            columns.append([_mean(runs, key) for key in keys])
        for run in runs:
            heads.append(run.name)
            columns.append([figure(run, key) for key in keys])
    return html.table(["", *heads], [[title(key), *values] for key, *values in zip(keys, *columns)], numbers=True)


def _group_text(group: tuple[str, Sequence[RunRecord]]) -> str:
    name, runs = group
    seeds = ", ".join(str(run.config.get("seed")) for run in runs)
    return f"{name}: {len(runs)} {'run' if len(runs) == 1 else 'runs'}, {'seed' if len(runs) == 1 else 'seeds'} {seeds}"


def _mean(runs: Sequence[RunRecord], key: str) -> str:
    values = [run.figures[key] for run in runs if key in run.figures]
    return mean_and_spread(key, values) if values else ""


def _charts(records: Sequence[RunRecord]) -> str:
    """Return a chart for each figure of the logs, with a curve for each run."""
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


def _differences(records: Sequence[RunRecord]) -> str:
    """Return a table of the fields of the configurations that are not the same in all runs."""
    configs: list[Mapping[str, object]] = [{**record.config, **record.machine} for record in records]
    keys = [key for key in differing(configs) if key not in NOT_COMPUTED]
    if not keys:
        return ""
    rows = [[key, *("" if config.get(key) is None else str(config[key]) for config in configs)] for key in keys]
    return "<h2>Different settings</h2>" + html.table(["", *(record.name for record in records)], rows)
