"""The search of ``darts.fit``: architecture after architecture, until the budget is spent; continued after any end.

The run's folder holds the study (``study.journal``) and, from the first architecture on, the best model so far
(``model.pt``). An architecture whose training was interrupted is trained again under its own number.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, fields
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
from darts.automatic.beginning import Beginning
from darts.automatic.judging import Judged, doubts, judge, standard_error
from darts.automatic.predictor import FILE, Predictor, assembled, load_predictor
from darts.automatic.problem import FitProblem, Plan, decisions_of, folds_of, make_plan, start_of
from darts.automatic.records import FILE as JOURNAL
from darts.automatic.records import best_of, completed, ended, interrupted, open_record, repeated
from darts.blackbox.evaluation import ends_a_trial
from darts.blackbox.records import COUNT, FIGURES, NUMBERS, SECONDS, TEXT, TIME, Form, Records
from darts.blackbox.samplers import StrategySampler, suggest
from darts.blackbox.strategies import STRATEGIES
from darts.errors import UserError
from darts.methods.compose import component
from darts.training.loop import Diverged
from darts.training.progress import pluralize
from genotypes.types.choices import ChoicesGenotype

PLAN = "plan"
"""Attribute of a study: how architectures are judged. Its ``SECONDS`` are the time that has been spent."""

RESERVE = 0.03
"""Share of the budget that is kept for what comes after the last training."""

LEAST_RESERVE = 0.5
"""Seconds that are kept at least, of a budget that is ten times as long."""

WORTHWHILE = 0.5
"""A further architecture is begun where at least this share of the usual time of one is left."""

REPEATS = 50
"""Architectures known already, one after the other, after which all are taken to be known."""

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
    chosen = Beginning(component("`strategy`", STRATEGIES, strategy), start_of(problem))
    sampler = StrategySampler(chosen, decisions, problem.seed)
    study = open_record(folder, sampler, _settings(problem, strategy), _records(problem), decisions)
    before = study.user_attrs.get(SECONDS, 0.0)
    if not TIME.holds(before):
        raise UserError(f"{folder / JOURNAL}: `{SECONDS}` is {str(before)[:40]!r}; it must be {TIME.text}")
    reserve = max(RESERVE * (limit or 0.0), min(LEAST_RESERVE, 0.1 * (limit or 0.0)))
    end = None if limit is None else began + limit - reserve - before
    loop = _FitStudy(problem, folder, study, _plan(study, folder, problem, limit), end, console)
    for trial in loop.trials(trials):
        loop.judge(trial)
        study.set_user_attr(SECONDS, before + time.monotonic() - began)
    return loop.result(before + time.monotonic() - began)


class _FitStudy:
    """A search in progress."""

    def __init__(
        self, problem: FitProblem, folder: Path, study: Study, plan: Plan, end: float | None, console: Console
    ):
        self.problem, self.folder, self.study = problem, folder, study
        self.plan, self.end, self.console = plan, end, console
        self.folds = folds_of(problem, plan.folds)
        self.best: Judged | None = None

    def trials(self, most: int | None) -> Iterator[OptunaTrial]:
        """Yield the architectures to judge: those that were interrupted, then new ones while there is time."""
        yield from interrupted(self.study)
        repeats = 0
        while repeats < REPEATS and not self._is_spent(most):
            trial = self.study.ask()
            suggest(trial, decisions_of(self.problem))
            if repeated(self.study, trial):
                repeats += 1
            else:
                repeats = 0
                yield trial

    def _is_spent(self, most: int | None) -> bool:
        if most is not None and len(ended(self.study)) >= most:
            return True
        if self.end is None:
            return False
        seconds = [trial.user_attrs["seconds"] for trial in ended(self.study)]
        needed = WORTHWHILE * median(seconds) if seconds else 0.0
        return bool(seconds) and time.monotonic() + needed >= self.end

    def judge(self, trial: OptunaTrial) -> None:
        """Train the networks of an architecture and note what they are worth."""
        began = time.monotonic()
        point = suggest(trial, decisions_of(self.problem))
        try:
            judged = judge(self.problem, self.plan, self.folds, point, trial.number, self.end, self._falls_behind)
        except (Diverged, RuntimeError, MemoryError) as error:
            if not ends_a_trial(error):
                raise
            trial.set_user_attr("reason", str(error)[:200])
            trial.set_user_attr("seconds", time.monotonic() - began)
            self.study.tell(trial, state=TrialState.FAIL)
            self._say(trial.number, f"failed: {error}")
            return
        trial.set_user_attr("seconds", time.monotonic() - began)
        if len(judged.scores) < len(self.folds):
            self.study.tell(trial, state=TrialState.PRUNED)
            self._say(trial.number, f"given up after {pluralize(len(judged.scores), 'fold')}")
            return
        parameters = sum(p.numel() for p in judged.networks[0].parameters())
        for name, value in (("folds", judged.scores), ("figures", judged.figures), ("parameters", parameters)):
            trial.set_user_attr(name, value)
        score = fmean(judged.scores)
        complete_before = completed(self.study)
        if not complete_before or score > max(float(other.value or 0.0) for other in complete_before):
            self.best = judged
            self._keep(self._predictor(trial, judged, complete_before))
        self.study.tell(trial, score)
        metric = self.problem.metrics[0]
        self._say(trial.number, f"{metric} {judged.figures[metric]:.4f}")

    def _falls_behind(self, scores: list[float]) -> bool:
        others = [trial.user_attrs["folds"] for trial in completed(self.study)]
        if len(others) < PRUNED_AFTER:
            return False
        return fmean(scores) < median(fmean(folds[: len(scores)]) for folds in others)

    def _predictor(self, trial: OptunaTrial, judged: Judged, others: list[FrozenTrial]) -> Predictor:
        problem, given = self.problem, self.problem.given
        point = suggest(trial, decisions_of(problem))
        genotype = decisions_of(problem).architecture.genotype(point)
        assert isinstance(genotype, ChoicesGenotype)
        network = assembled(problem.encoder, problem.target, genotype, [n.state_dict() for n in judged.networks])
        folds = len(self.folds)
        validation = f"cross-validation in {folds} folds" if folds > 1 else "a fifth held out for validation"
        facts = {
            "examples": len(given),
            "validation": validation,
            "trial": trial.number + 1,
            "training": {name: point[name] for name in problem.tuned},
            "parameters": folds * sum(p.numel() for p in judged.networks[0].parameters()),
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

    def _keep(self, predictor: Predictor) -> None:
        save(self.folder / FILE, predictor.state())

    def _say(self, number: int, found: str) -> None:
        metric, best = self.problem.metrics[0], best_of(self.study)
        incumbent = f", best {best.user_attrs['figures'][metric]:.4f}" if best else ""
        left = f", {max(0.0, self.end - time.monotonic()):.0f} s left" if self.end else ""
        self.console.print(f"architecture {number + 1}: {found}{incumbent}{left}", highlight=False, markup=False)

    def result(self, seconds: float) -> Predictor:
        """Return the best model with all trials and notes, and write it to the run's folder.

        Raises:
            UserError: where no architecture could be trained.
        """
        done = completed(self.study)
        if not done or not (self.folder / FILE).exists():
            reasons = [trial.user_attrs.get("reason", "unknown") for trial in ended(self.study)]
            raise UserError(f"no architecture could be trained; the last failed: {(reasons or ['no time'])[-1]}")
        found = load_predictor(self.folder / FILE)
        notes = found.notes
        facts = {**found.facts, "seconds": seconds, "architectures": len(ended(self.study)), "plan": asdict(self.plan)}
        if self.best is not None:
            error, metric = standard_error(self.problem, self.best), self.problem.metrics[0]
            facts["standard_error"] = error
            values = [trial.user_attrs["figures"][metric] for trial in done]
            notes = (*self.problem.given.notes, *doubts(self.problem, values, found.figures[metric], error))
        predictor = Predictor(
            found.genotype,
            found.target,
            found.encoder,
            found.network.to(self.problem.device),
            found.metrics,
            found.figures,
            [_record(trial) for trial in ended(self.study)],
            facts,
            notes,
            found.label,
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
            raise UserError(f"{folder / JOURNAL}: `{PLAN}` is {str(known)[:80]!r}, which no search has written")
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
