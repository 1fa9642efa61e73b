"""Several searches without gradients side by side: incumbents, mean and spread over seeds, Pareto sets."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from darts.artifacts.run_record import RunRecord
from darts.blackbox.pareto.fronts import scaled_hypervolume
from darts.report.charts import chart
from darts.report.figures import is_share
from darts.report.html import table
from darts.report.pareto_chart import figure_of, named
from darts.report.study_page import incumbent_charts
from darts.report.trials import StudyRecord, is_study, read_study

Curve = list[tuple[float, float]]
Band = list[tuple[float, float, float]]


def compared_studies(groups: Mapping[str, Sequence[RunRecord]]) -> str:
    """Return the parts of a comparison that searches without gradients have; empty where there are none.

    Args:
        groups: label -> runs that differ in nothing but their seed.
    """
    studies = {
        label: [study for run in runs if is_study(run) and (study := read_study(run)).evaluated]
        for label, runs in groups.items()
    }
    studies = {label: found for label, found in studies.items() if found}
    every = [study for found in studies.values() for study in found]
    parts = []
    for objective in dict.fromkeys(study.objectives[0] for study in every):
        alike = [study for study in every if study.objectives[0] == objective]
        parts.append("<h3>Best architecture so far</h3>")
        parts.append(incumbent_charts(alike, [study.run.name for study in alike]))
        parts.append(_over_seeds(objective, studies))
    parts += [_pareto(found) for found in _same_objectives(every)]
    return "".join(parts)


def _over_seeds(objective: str, studies: Mapping[str, Sequence[StudyRecord]]) -> str:
    """Return mean and standard deviation of the incumbent over the seeds of each group of several runs."""
    curves: dict[str, Curve] = {}
    bands: dict[str, Band] = {}
    for label, found in studies.items():
        if len(found) > 1 and found[0].objectives[0] == objective:
            name = f"{label}, {len(found)} seeds"
            curves[name], bands[name] = mean_incumbent(found)
    name = f"Best {named(objective)} by trial, mean and standard deviation over seeds"
    picture = chart(name, curves, is_share(figure_of(objective)), "trial", bands)
    return f'<div class="grid">{picture}</div>' if picture else ""


def mean_incumbent(studies: Sequence[StudyRecord]) -> tuple[Curve, Band]:
    """Return the mean of several incumbents at each trial that all have, and a standard deviation to both sides."""
    steps = [study.incumbents() for study in studies]
    first, last = max(each[0][0] for each in steps), min(each[-1][0] for each in steps)
    curve: Curve = []
    band: Band = []
    for number in range(first, last + 1):
        values = [[value for trial, _, value in each if trial <= number][-1] for each in steps]
        mean, spread = statistics.fmean(values), statistics.stdev(values)
        curve.append((number, mean))
        band.append((number, mean - spread, mean + spread))
    return curve, band


def _same_objectives(studies: Sequence[StudyRecord]) -> list[list[StudyRecord]]:
    """Return the studies of each set of several objectives, where there are two or more of them."""
    found: dict[tuple[str, ...], list[StudyRecord]] = {}
    for study in studies:
        found.setdefault(study.objectives, []).append(study)
    return [alike for objectives, alike in found.items() if len(objectives) > 1 and len(alike) > 1]


def _pareto(studies: Sequence[StudyRecord]) -> str:
    """Return the Pareto sets in one chart, and their hypervolumes as shares of that of all together."""
    objectives = studies[0].objectives
    share = is_share(figure_of(objectives[0]))
    fronts = {
        study.run.name: sorted(((trial.values or ())[1], (trial.values or ())[0]) for trial in study.front)
        for study in studies
    }
    picture = chart(
        f"Pareto sets: {named(objectives[0])} over {named(objectives[1])}", fronts, share, named(objectives[1])
    )
    volumes = hypervolumes(studies)
    rows = [[study.run.name, str(len(study.front)), f"{100 * volume:.2f} %"] for study, volume in zip(studies, volumes)]
    note = (
        "The hypervolume is the share of what the points of all runs dominate together, above the worst value of each "
        "objective among them."
    )
    heads = ["run", "points", "hypervolume"]
    volume_table = f'{table(heads, rows, numbers=True)}<p class="soft">{note}</p>'
    return f'<h3>Pareto sets</h3><div class="grid">{picture}</div>{volume_table}'


def hypervolumes(studies: Sequence[StudyRecord]) -> list[float]:
    """Return each study's hypervolume as a share of that of all together.

    The reference is the worst value of each objective among all evaluated trials, and values are divided by the range.
    """
    everyone = [study.oriented(trial) for study in studies for trial in study.evaluated]
    worst = tuple(min(values) for values in zip(*everyone))
    best = tuple(max(values) for values in zip(*everyone))
    whole = scaled_hypervolume(everyone, worst, best)
    own = [scaled_hypervolume([study.oriented(trial) for trial in study.front], worst, best) for study in studies]
    return [value / whole if whole > 0 else 1.0 for value in own]
