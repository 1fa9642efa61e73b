"""The page of methods judged by the digits benchmark: box plots of true accuracies, and how supernets rank."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean
from typing import Any

from darts.report.box_chart import box_chart
from darts.report.charts import chart
from darts.report.html import document, table

NAME = "methods judged by the digits benchmark"


def digits201_page(content: Mapping[str, Any]) -> str:
    """Return the page of the results of ``python -m darts.experiments digits201``."""
    by_method: dict[str, list[Mapping[str, Any]]] = {row["method"]: [] for row in content["table"]}
    for row in content["searches"]:
        by_method[row["method"]].append(row)
    accuracies = {name: [row["accuracy"] for row in rows] for name, rows in by_method.items()}
    oracles = content["oracles"]
    lines = {"the best architecture": oracles["best_test"], "the mean architecture": oracles["test_mean"]}
    ranked = {name: _mean_by_epoch(rows) for name, rows in by_method.items()}
    charts = [
        box_chart("True test accuracy of what each search found", accuracies, lines),
        chart("Kendall's tau between the supernet's scores and the truth", ranked),
    ]
    heads = ["method", "searches", "median %", "accuracy %", "p", "rank", "regret %", "collapsed %", "tau", "seconds"]
    return document(
        NAME,
        [
            f"<h1>{escape(NAME)}</h1>",
            f"<pre>{escape(shlex.join(content['command']))}</pre>",
            *(f"<div>{each}</div>" for each in charts),
            "<h2>Methods</h2>" + table(heads, [_row(row) for row in content["table"]], numbers=True),
            "<h2>Without gradients</h2>" + _strategies(content["strategies"]),
        ],
    )


def _mean_by_epoch(rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Return (epoch, mean tau) of the searches whose supernet ranked architectures."""
    ranked = [row["ranking"] for row in rows if row["ranking"]]
    return [(float(epoch), fmean(row[epoch] for row in ranked)) for epoch in (ranked[0] if ranked else ())]


def _row(row: Mapping[str, Any]) -> list[str]:
    accuracy, regret = (f"{row[key][0]:.2f} ± {row[key][1]:.2f}" for key in ("accuracy", "regret"))
    tau = "" if row["tau"] is None else f"{row['tau'][0]:.2f} ± {row['tau'][1]:.2f}"
    p = "" if row["p"] is None else f"{row['p']:.3f}"
    figures = [
        f"{row['median']:.1f}",
        accuracy,
        p,
        f"{row['median_rank']:,}",
        regret,
        f"{100 * row['collapsed']:.0f}",
        tau,
    ]
    return [row["method"], str(row["seeds"]), *figures, f"{row['seconds']:.0f}"]


def _strategies(rows: Sequence[Mapping[str, Any]]) -> str:
    queries = sorted({row["queries"] for row in rows})
    found = {(row["strategy"], row["queries"]): row for row in rows}
    lines = [
        [name, *("{:.2f} ± {:.2f}".format(*found[name, count]["accuracy"]) for count in queries)]
        for name in dict.fromkeys(row["strategy"] for row in rows)
    ]
    return table(["strategy", *(f"{count} trainings" for count in queries)], lines, numbers=True)
