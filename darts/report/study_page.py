"""The report of a search without gradients: incumbent, Pareto set, decisions and their importance, failed trials."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from darts.artifacts.run_record import RunRecord
from darts.report.charts import chart
from darts.report.figures import duration, formatted, is_share
from darts.report.html import table
from darts.report.parallel_coordinates import Line, parallel_coordinates
from darts.report.pareto_chart import figure_of, named, pareto_svg, shown
from darts.report.trials import StudyRecord, importances, read_study
from darts.training.progress import pluralize

MAX_FAILED = 30
"""Failed trials that a report lists, the last ones."""

STATES = {
    "complete": "completed",
    "pruned": "stopped early",
    "paused": "paused",
    "running": "running or interrupted",
    "infeasible": "over a limit, not trained",
    "fail": "failed",
}
"""State of a trial, in words."""


def study_heading(record: RunRecord) -> str:
    """Return the heading: the strategy, the data, and what became of the trials."""
    study = read_study(record)
    config = record.config
    counts = Counter(trial.state for trial in study.trials)
    trials = ", ".join(f"{counts[state]} {words}" for state, words in STATES.items() if counts[state])
    end = "" if record.finished else "; not finished"
    limits = f" within {config['limits']}" if config.get("limits") else ""
    text = (
        f"Search by {config.get('strategy')} for {', '.join(map(named, study.objectives))}{limits}, recipe "
        f"{config.get('recipe')} on {config.get('data.name')}, seed {config.get('seed')}; "
        f"{pluralize(len(study.trials), 'trial')}{f': {trials}' if trials else ''}{end}."
    )
    return f'<h1>{escape(record.name)}</h1><p class="soft">{escape(text)}</p>'


def study_parts(record: RunRecord) -> list[str]:
    """Return the parts of the page that only such a search has."""
    study = read_study(record)
    if not study.evaluated:
        return ['<p class="soft">No trial is completed yet.</p>', _failed(study)]
    return [_incumbent(study), _pareto(study), _decisions(study), _importance(study), _failed(study)]


def incumbent_charts(studies: Sequence[StudyRecord], labels: Sequence[str] = ()) -> str:
    """Return the best value of the first objective over trials, and over the time of all evaluations."""
    first = studies[0].objectives[0]
    figure = figure_of(first)
    names = labels or [named(first)]
    by_trial, by_time = {}, {}
    for name, study in zip(names, studies):
        steps = study.incumbents()
        by_trial[name] = _stairs([(number, value) for number, _, value in steps])
        by_time[name] = _stairs([(seconds, value) for _, seconds, value in steps])
    charts = [chart(f"Best {named(first)} by trial", by_trial, is_share(figure), unit="trial")]
    if any(x > 0 for points in by_time.values() for x, _ in points):
        charts.append(chart(f"Best {named(first)} by seconds of evaluation", by_time, is_share(figure), unit="second"))
    return f'<div class="grid">{"".join(charts)}</div>'


def _stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return a curve that keeps each value until the next one."""
    found = list(points[:1])
    for (_, before), (x, value) in pairwise(points):
        found += [(x, before), (x, value)] if value != before else [(x, value)]
    return found


def _incumbent(study: StudyRecord) -> str:
    return "<h2>Incumbent</h2>" + incumbent_charts([study])


def _pareto(study: StudyRecord) -> str:
    if len(study.objectives) < 2:
        return ""
    pictures = "".join(f"<figure>{pareto_svg(study, across)}</figure>" for across in range(1, len(study.objectives)))
    rows = []
    for number, trial in enumerate(study.front, 1):
        tuned = ", ".join(f"{name} {value}" for name, value in trial.params.items() if "/" not in name)
        values = [formatted(figure_of(name), value) for name, value in zip(study.objectives, trial.values or ())]
        rows.append([f"@{number}", str(trial.number), *values, tuned])
    heads = ["point", "trial", *map(named, study.objectives), "tuned" if any(row[-1] for row in rows) else ""]
    command = shlex.join(["python", "train_final.py", "--genotype", f"{study.run.folder}/pareto.json@1"])
    return (
        f'<h2>Pareto set</h2><p class="soft">{pluralize(len(rows), "point")}; none is beaten in all objectives. '
        f"To retrain one:</p><pre>{escape(command)}</pre>{pictures}{table(heads, rows)}"
    )


def _decisions(study: StudyRecord) -> str:
    trials = study.evaluated
    order = sorted(trials, key=lambda trial: study.oriented(trial)[0])
    lines = [
        Line(trial.params, (trial.values or (0.0,))[0], rank / max(1, len(order) - 1), f"trial {trial.number}: "
             f"{shown(study, trial)}")
        for rank, trial in enumerate(order)
    ]  # fmt: skip
    picture = parallel_coordinates(lines, figure_of(study.objectives[0]))
    if not picture:
        return ""
    note = (
        "A line is a trial, from its decisions to its value: blue is the worst, red the best, the best five are thick."
    )
    return f'<h2>Decisions</h2><p class="soft">{note}</p>{picture}'


def _importance(study: StudyRecord) -> str:
    rows = importances(study)
    if not any(share for _, share, _ in rows):
        return ""
    body = "".join(
        f'<tr><td>{escape(name)}</td><td><i class="bar" style="width: {round(160 * share)}px"></i> {100 * share:.0f} %'
        f'</td><td class="number">{count}</td></tr>'
        for name, share, count in rows
    )
    note = (
        f"Share of the variance of the {named(study.objectives[0])} between trials that a decision explains by itself "
        "(omega squared). With few trials it is rough."
    )
    head = '<tr><th>decision</th><th>share</th><th class="number">trials</th></tr>'
    return (
        f'<h2>Importance of each decision</h2><p class="soft">{escape(note)}</p>'
        f'<div class="scroll"><table>{head}{body}</table></div>'
    )


def _failed(study: StudyRecord) -> str:
    """Return the trials that failed or were not trained, each with its reason."""
    parts = []
    for state, heading in (("fail", "Failed trials"), ("infeasible", "Over a limit"), ("pruned", "Stopped early")):
        rows = [trial for trial in study.trials if trial.state == state]
        listed = [[str(each.number), each.reason, duration(each.seconds), each.genotype[:160]] for each in rows]
        if rows:
            shown_rows = listed[-MAX_FAILED:]
            more = f"; the last {MAX_FAILED}" if len(rows) > MAX_FAILED else ""
            parts.append(f'<h2>{heading}</h2><p class="soft">{pluralize(len(rows), "trial")}{more}.</p>')
            parts.append(table(["trial", "reason", "time", "architecture"], shown_rows))
    return "".join(parts)
