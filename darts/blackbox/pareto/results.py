"""The Pareto set of a study as ``pareto.json``: each point with its figures, and a genotype that can be retrained.

``FILE@N`` is the genotype of point ``N``, wherever a genotype is named (``genotypes.load``).
"""

from __future__ import annotations

import json
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial

from darts.artifacts.tuned import TUNED
from darts.blackbox.objectives import Goals, oriented
from darts.blackbox.pareto.fronts import Outcome, front_of
from darts.blackbox.records import GENOTYPE, VALUES
from darts.blackbox.results import comparable, last_result


def pareto_set(study: Study) -> list[FrozenTrial]:
    """Return the trials that no other one beats in all objectives, by the first objective, best first.

    They are of those that were trained longest, so that schedulers and stoppers do not mix lengths of training; equal
    ones are there once, the earliest.
    """
    trials = comparable(study.get_trials(deepcopy=False))
    front = front_of([Outcome(oriented(study, last_result(trial)[1])) for trial in trials])
    return [trials[index] for index in front]


def pareto_json(study: Study, goals: Goals) -> str:
    """Return the content of ``pareto.json``."""
    points = [
        {
            "point": number,
            "trial": trial.number + 1,
            "objectives": dict(zip(goals.objectives, last_result(trial)[1])),
            "values": trial.user_attrs[VALUES],
            **_tuned(trial),
            "genotype": trial.user_attrs[GENOTYPE],
        }
        for number, trial in enumerate(pareto_set(study), 1)
    ]
    directions = {name: way.name.lower() for name, way in zip(goals.objectives, goals.directions)}
    content = {"objectives": directions, "limits": dict(goals.limits), "points": points}
    return json.dumps(content, indent=2) + "\n"


def _tuned(trial: FrozenTrial) -> dict[str, Any]:
    return {TUNED: trial.user_attrs[TUNED]} if TUNED in trial.user_attrs else {}
