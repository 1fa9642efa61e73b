"""The work of ``darts.fit``: recognize the data, check the arguments, search, warn."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from darts.arguments import public
from darts.artifacts.user_folder import STUDY, run_folder_of
from darts.automatic.examples.inputs import read_examples
from darts.automatic.examples.tables import TableEncoder
from darts.automatic.examples.targets import Target, target_of
from darts.automatic.fit_study import find_model
from darts.automatic.metrics import metrics_of
from darts.automatic.predictor import Predictor
from darts.automatic.problem import FitProblem, make_problem
from darts.config import RunConfig
from darts.errors import UserError
from darts.training.device import choose_device
from darts.training.generators import global_generators_kept
from genotypes.parsing import shortened

UNITS = {"": 1.0, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}

LEAST_EXAMPLES = 6


@public
def fit_data(
    x: Any,
    y: Any,
    *,
    budget: str | float | None,
    trials: int | None,
    task: str | None,
    metric: str | list[str] | None,
    class_weight: str | dict | None,
    folds: int | None,
    epochs: int | None,
    strategy: str,
    seed: int,
    device: str,
    run: str | Path | None,
    verbose: bool,
    began: float,
) -> Predictor:
    """Find and train a model; see ``darts.fit``. ``began`` is when the call began, as ``time.monotonic`` counts."""
    limit = seconds_of(budget)
    if limit is None and trials is None:
        raise UserError("`budget` and `trials` are both None; give one of them")
    given = read_examples(x, y)
    if given.answers is None:
        raise UserError("`y` is not given; the answers to learn are needed")
    target = target_of(given.answers, task)
    names = metrics_of(target.task, metric)
    answers = target.encode(given.answers)
    _require_enough(answers, target)
    if folds is not None and folds > len(given):
        raise UserError(f"`folds` is {folds}; `x` has {len(given)} examples, and each fold needs one")
    chosen = choose_device(RunConfig(device=device))
    console = Console(soft_wrap=True, quiet=not verbose, markup=False, emoji=False)
    problem = replace(
        make_problem(given, target, answers, chosen, names, class_weight, seed), folds=folds, epochs=epochs
    )
    given = replace(given, notes=(*given.notes, *_left_out(problem)))
    problem = replace(problem, given=given)
    console.print(f"{target.task} of {problem.encoder.describe()}, {len(given)} examples", highlight=False)
    for note in given.notes:
        console.print(note, highlight=False, markup=False)
    with run_folder_of(run, STUDY) as folder, global_generators_kept(chosen), _threads(given.kind):
        predictor = find_model(
            problem, folder, limit=limit, trials=trials, strategy=strategy, began=began, console=console
        )
    for note in predictor.notes[len(given.notes) :]:
        if verbose:
            warnings.warn(note, stacklevel=3)
    return predictor


def seconds_of(budget: str | float | None) -> float | None:
    """Return a time in seconds.

    Raises:
        UserError: where it is none.
    """
    if budget is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(budget).lower())
    if match is None or match[2] not in UNITS or not 0 < float(match[1]) < 1e12:
        allowed = "a time such as '90s', '10m' or '2h', or a number of seconds"
        raise UserError(f"`budget` is {shortened(repr(budget))}; it must be {allowed}")
    return float(match[1]) * UNITS[match[2]]


def _left_out(problem: FitProblem) -> list[str]:
    """Return a note on the columns of a table that are not used; none where all are."""
    if not isinstance(problem.encoder, TableEncoder):
        return []
    used = {column.name for column in problem.encoder.columns}
    left = [name for name in problem.given.value if name not in used]
    if not left:
        return []
    names = ", ".join(map(repr, left[:5])) + (", ..." if len(left) > 5 else "")
    return [f"columns of one value, or of texts that hardly repeat, are left out: {names}"]


def _require_enough(answers: Tensor, target: Target) -> None:
    if len(answers) < LEAST_EXAMPLES:
        raise UserError(f"`x` has {len(answers)} examples; {LEAST_EXAMPLES} or more are needed to train and validate")
    if target.task == "classification":
        counts = answers.bincount(minlength=target.outputs)
        if counts.max() < 2:
            raise UserError("`y` has no class with two examples; a model needs several of a class")


@contextmanager
def _threads(kind: str) -> Iterator[None]:
    """Compute small dense networks with one thread: several would wait for each other."""
    before = torch.get_num_threads()
    if kind == "table":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
