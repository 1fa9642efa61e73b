"""The search of ``darts.fit``: architecture after architecture, until the budget is spent; continued after any end.

The run's folder holds the study (``study.journal``) and, from the first architecture on, the best model so far
(``model.pt``). An architecture whose training was interrupted is trained again under its own number.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from optuna.trial import Trial as OptunaTrial
from rich.console import Console

from darts.artifacts import fingerprint
from darts.artifacts.checkpoint import save
from darts.artifacts.run_folder import MODEL
from darts.artifacts.user_folder import STUDY
from darts.automatic.judging import Judged, doubts, judge, standard_error
from darts.automatic.networks import Averaged
from darts.automatic.predictor import Predictor, load_predictor
from darts.automatic.problem import FitProblem, Plan, decisions_of, folds_of, make_plan, start_of
from darts.automatic.records import best_of, completed, ended, open_record
from darts.automatic.trial_loop import Result, run_trials
from darts.blackbox.records import COUNT, FIGURES, NUMBERS, SECONDS, TEXT, TIME, Form, Records
from darts.blackbox.samplers import StrategySampler, suggest
from darts.blackbox.strategies import STRATEGIES
from darts.blackbox.strategies.beginning import Beginning
from darts.errors import UserError
from darts.methods.compose import component
from darts.training.progress import pluralize
from genotypes.types.choices import ChoicesGenotype
from supernet.network import count_parameters

PLAN = "plan"
"""Attribute of a study: how architectures are judged. Its ``SECONDS`` are the time that has been spent."""

RESERVE = 0.03
"""Share of the budget that is kept for what comes after the last training."""

LEAST_RESERVE = 0.5
"""Seconds that are kept at least, of a budget that is ten times as long."""

WORTHWHILE = 0.5
"""A further architecture is begun where at least this share of the usual time of one is left."""

PRUNED_AFTER = 3
"""Finished architectures from which on one whose first folds are below their median is given up."""


def find_model(
    problem: FitProblem,
    folder: Path,
    *,
    limit: float | None,
    trials: int | None,
    strategy: str,
    began: float,
    console: Console,
) -> Predictor:
    """Search until the budget is spent, and return the best model.

    Args:
        limit: seconds for everything, those of earlier processes included.
        trials: number of architectures at most.
        began: when this process began, as ``time.monotonic`` counts.

    Raises:
        UserError: where the folder is of another search, or no architecture could be trained.
    """
    decisions = decisions_of(problem)
    chosen = Beginning(component("`strategy`", STRATEGIES, strategy), (start_of(problem),))
    sampler = StrategySampler(chosen, decisions, problem.seed)
    study = open_record(folder, sampler, _settings(problem, strategy), _records(problem), decisions)
    before = study.user_attrs.get(SECONDS, 0.0)
    if not TIME.holds(before):
        raise UserError(f"{folder / STUDY}: '{SECONDS}' is {str(before)[:40]!r}; it must be {TIME.text}")
    reserve = max(RESERVE * (limit or 0.0), min(LEAST_RESERVE, 0.1 * (limit or 0.0)))
    end = None if limit is None else began + limit - reserve - before
    loop = _FitStudy(problem, folder, study, _plan(study, folder, problem, limit), end, console)
    run_trials(
        study,
        loop.judge,
        trials=trials,
        say=loop.say,
        suggest=lambda trial: suggest(trial, decisions),
        is_spent=loop.is_spent,
        after=lambda: study.set_user_attr(SECONDS, before + time.monotonic() - began),
    )
    return loop.result(lambda: before + time.monotonic() - began)


class _FitStudy:
    """A search in progress."""

    def __init__(
        self, problem: FitProblem, folder: Path, study: Study, plan: Plan, end: float | None, console: Console
    ):
        self.problem, self.folder, self.study = problem, folder, study
        self.plan, self.end, self.console = plan, end, console
        self.folds = folds_of(problem, plan.folds)
        self.best: tuple[Judged, Predictor] | None = None
        self.kept_seconds = 0.0

    def is_spent(self) -> bool:
        """Return whether there is no time for a further architecture."""
        if self.end is None:
            return False
        seconds = [trial.user_attrs["seconds"] for trial in ended(self.study)]
        needed = WORTHWHILE * median(seconds) if seconds else 0.0
        return bool(seconds) and time.monotonic() + needed >= self.end

    def judge(self, trial: OptunaTrial) -> Result:
        """Train the networks of an architecture; return what they are worth."""
        point = suggest(trial, decisions_of(self.problem))
        judged = judge(self.problem, self.plan, self.folds, point, trial.number, self.end, self._falls_behind)
        if len(judged.scores) < len(self.folds):
            return Result(None, f"given up after {pluralize(len(judged.scores), 'fold')}")
        metric = self.problem.metrics[0]
        parameters = count_parameters(judged.networks[0])
        return Result(
            fmean(judged.scores),
            f"{metric} {judged.figures[metric]:.4f}",
            {"folds": judged.scores, "figures": judged.figures, "parameters": parameters},
            lambda: self._keep(judged, self._predictor(trial, point, judged)),
        )

    def _falls_behind(self, scores: list[float]) -> bool:
        others = [trial.user_attrs["folds"] for trial in completed(self.study)]
        if len(others) < PRUNED_AFTER:
            return False
        return fmean(scores) < median(fmean(folds[: len(scores)]) for folds in others)

    def _predictor(self, trial: OptunaTrial, point: Mapping[str, str], judged: Judged) -> Predictor:
        problem, given = self.problem, self.problem.given
        genotype = decisions_of(problem).architecture.genotype(point)
        assert isinstance(genotype, ChoicesGenotype)
        network = Averaged(problem.space.stem, judged.networks, problem.target).eval()
        folds = len(self.folds)
        validation = f"cross-validation in {folds} folds" if folds > 1 else "a fifth held out for validation"
        facts = {
            "examples": len(given),
            "validation": validation,
            "trial": trial.number + 1,
            "training": {name: point[name] for name in problem.tuned},
            "parameters": folds * count_parameters(judged.networks[0]),
            "versions": {"python": platform.python_version(), "torch": torch.__version__, "darts": _version()},
        }
        return Predictor(
            genotype,
            problem.target,
            problem.encoder,
            network.to(problem.device),
            problem.metrics,
            judged.figures,
            facts=facts,
            notes=given.notes,
            label=given.label,
        )

    def _keep(self, judged: Judged, predictor: Predictor) -> None:
        """Write the best model so far; what this takes is left for the end, which writes it once more."""
        began = time.monotonic()
        self.best = judged, predictor
        save(self.folder / MODEL, predictor.state())
        if self.end is not None:
            self.end -= max(0.0, time.monotonic() - began - self.kept_seconds)
            self.kept_seconds = max(self.kept_seconds, time.monotonic() - began)

    def say(self, trial: OptunaTrial, found: str) -> None:
        """Print what became of an architecture."""
        metric, best = self.problem.metrics[0], best_of(self.study)
        incumbent = f", best {best.user_attrs['figures'][metric]:.4f}" if best else ""
        left = f", {max(0.0, self.end - time.monotonic()):.0f} s left" if self.end else ""
        self.console.print(f"architecture {trial.number + 1}: {found}{incumbent}{left}", highlight=False, markup=False)

    def result(self, seconds: Callable[[], float]) -> Predictor:
        """Return the best model with all trials and notes, and write it to the run's folder.

        Args:
            seconds: returns the time that was spent.

        Raises:
            UserError: where no architecture could be trained.
        """
        done = completed(self.study)
        if not done or not (self.folder / MODEL).exists():
            reasons = [trial.user_attrs.get("reason", "unknown") for trial in ended(self.study)]
            raise UserError(f"no architecture could be trained; the last failed: {(reasons or ['no time'])[-1]}")
        facts = {"architectures": len(ended(self.study)), "plan": asdict(self.plan)}
        if self.best is None:  # it was found by an earlier process
            found = load_predictor(self.folder / MODEL)
            found.network.to(self.problem.device)
            notes = found.notes
        else:
            judged, found = self.best
            error, metric = standard_error(self.problem, judged), self.problem.metrics[0]
            facts["standard_error"] = error
            values = [trial.user_attrs["figures"][metric] for trial in done]
            notes = (*self.problem.given.notes, *doubts(self.problem, values, found.figures[metric], error))
        predictor = replace(
            found,
            trials=[_record(trial) for trial in ended(self.study)],
            facts={**found.facts, **facts, "seconds": seconds()},
            notes=notes,
        )
        predictor.save(self.folder)
        return predictor


def _records(problem: FitProblem) -> Records:
    """Return what is known of the trials of a search."""
    metric = problem.metrics[0]
    figures = Form(f"an object of numbers with {metric}", lambda value: FIGURES.holds(value) and metric in value)
    forms = {SECONDS: TIME, "folds": NUMBERS, "figures": figures, "parameters": COUNT, "reason": TEXT}
    return Records(forms, complete=(SECONDS, "folds", "figures", "parameters"))


def _is_plan(known: Any) -> bool:
    if not isinstance(known, dict) or set(known) != {field.name for field in fields(Plan)}:
        return False
    counts = all(type(known[name]) is int and known[name] > 0 for name in ("folds", "epochs", "batch_size"))
    return counts and (known["seconds"] is None or TIME.holds(known["seconds"]))


def _plan(study: Study, folder: Path, problem: FitProblem, limit: float | None) -> Plan:
    known = study.user_attrs.get(PLAN)
    if known is not None:
        if not _is_plan(known):
            raise UserError(f"{folder / STUDY}: '{PLAN}' is {str(known)[:80]!r}, which no search has written")
        return Plan(**known)
    plan = make_plan(problem, limit)
    study.set_user_attr(PLAN, asdict(plan))
    return plan


def _settings(problem: FitProblem, strategy: str) -> dict[str, Any]:
    """Return what the trials of a search depend on."""
    tensors = [problem.examples.inputs, problem.examples.answers]
    encoder = hashlib.sha256(repr(problem.encoder.state()).encode()).hexdigest()[:8]
    return {
        "data": f"{fingerprint.of_data([tensors])} {encoder}",
        "task": problem.target.task,
        "metric": problem.metrics[0],
        "class_weight": None if problem.weights is None else problem.weights.tolist(),
        "strategy": strategy,
        "folds": problem.folds,
        "epochs": problem.epochs,
        "seed": problem.seed,
    }


def _record(trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial as plain values."""
    return {
        "trial": trial.number + 1,
        "state": trial.state.name.lower(),
        "score": trial.value if trial.state == TrialState.COMPLETE else None,
        "figures": trial.user_attrs.get("figures", {}),
        "parameters": trial.user_attrs.get("parameters"),
        "seconds": trial.user_attrs["seconds"],
        "choices": {name.partition("/")[0]: value for name, value in trial.params.items()},
    }


def _version() -> str:
    try:
        return version("darts-supernet")
    except PackageNotFoundError:
        return "not installed"
