"""The page of a protocol: what was judged and how, every architecture with its trainings, and the checklist."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from darts.report.figures import duration, formatted, title
from darts.report.html import document, table
from darts.report.spread_chart import spread_chart
from genotypes import load, picture
from genotypes.formats.registry import row_of


def protocol_page(results: Mapping[str, Any], lines: Sequence[str]) -> str:
    """Return the page of a protocol.

    Args:
        results: as ``protocol.json`` holds them.
        lines: the judgement in words.
    """
    settings, found = results["settings"], results["architectures"]
    name = f"protocol {settings['recipe']}"
    text = (
        f"{settings['searches']} searches by recipe {settings['recipe']}, {settings['random']} random architectures of "
        f"the same space, {settings['retrains']} trainings of each by recipe {settings['retraining']['recipe']}"
        + (f"; the fixed architecture {settings['baseline']} beside them." if settings["baseline"] else ".")
    )
    figure = results["judgement"]["figure"]
    groups = {group: [each[figure] for each in rows] for group, rows in found.items()}
    name_of_figure = title(figure)[:1].upper() + title(figure)[1:]
    note = (
        "A dot is a training, a column of dots an architecture; the bar is mean ± standard deviation of architectures."
    )
    return document(
        name,
        [
            f'<h1>{escape(name)}</h1><p class="soft">{escape(text)}</p>',
            "".join(f"<p>{escape(line)}</p>" for line in lines),
            f'<h2>{name_of_figure}</h2><div class="grid">{spread_chart(name_of_figure, groups)}</div>',
            f'<p class="soft">{note}</p>',
            _architectures(found, figure),
            _checklist(results["checklist"]),
            _drawings(found),
            _reproduction(results),
            _configuration(settings),
        ],
    )


def _architectures(found: Mapping[str, Sequence[Mapping[str, Any]]], figure: str) -> str:
    rows = [
        [
            each["name"],
            ", ".join(formatted(figure, value) for value in each[figure]),
            formatted("parameters", each["parameters"]),
            duration(each["search_seconds"]) if each["search_seconds"] else "",
            duration(sum(each["retrain_seconds"])),
        ]
        for architectures in found.values()
        for each in architectures
    ]
    heads = ["architecture", f"{title(figure)} of each training", "parameters", "search", "trainings"]
    return "<h2>Architectures</h2>" + table(heads, rows, numbers=True)


def _checklist(items: Sequence[Mapping[str, str]]) -> str:
    rows = [[item["answer"], item["question"], item["evidence"]] for item in items]
    note = "After Lindauer and Hutter 2020; answered from the configuration and the runs."
    return f'<h2>Checklist</h2><p class="soft">{note}</p>' + table(["answer", "question", "evidence"], rows)


def _drawings(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    parts = ["<h2>What the searches found</h2>"]
    for each in found["searched"]:
        genotype = load(each["genotype"])
        drawing = f"<figure>{picture(genotype)}</figure>" if row_of(genotype).embeddable else ""
        parts.append(f"<h3>seed {each['seed']}</h3>{drawing}<pre>{escape(each['genotype'])}</pre>")
    return "".join(parts)


def _reproduction(results: Mapping[str, Any]) -> str:
    machines = results["machines"]
    keys = dict.fromkeys(key for machine in machines for key in machine)
    rows = [[key, *(str(machine.get(key, "")) for machine in machines)] for key in keys]
    heads = ["", *(f"machine {number}" for number in range(1, len(machines) + 1))]
    return f"<h2>Reproduce</h2><pre>{escape(shlex.join(results['command']))}</pre>" + table(heads, rows)


def _configuration(settings: Mapping[str, Any]) -> str:
    rows = [
        [f"{part}: {field}", json.dumps(value)]
        for part in ("search", "retraining")
        for field, value in settings[part].items()
    ]
    return "<h2>Configuration</h2>" + table(["field", "value"], rows)
