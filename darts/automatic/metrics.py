"""Metrics by name, computed by scikit-learn from a model's outputs.

Axes: ``n`` example, ``k`` class, label or number.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn import metrics as sklearn_metrics

from darts.automatic.examples.targets import Task
from darts.errors import UserError

CLASSES: tuple[Task, ...] = ("classification", "multilabel")
NUMBERS: tuple[Task, ...] = ("regression",)


@dataclass(frozen=True)
class Metric:
    """A figure of predictions.

    Attributes:
        tasks: that it is of.
        compute: (answers, outputs) -> value. Answers are classes ``(n,)``, labels or numbers ``(n, k)``; outputs are
            probabilities or numbers ``(n, k)``.
        sign: 1 where more is better, -1 where less is.
    """

    tasks: tuple[Task, ...]
    compute: Callable[[np.ndarray, np.ndarray], float]
    sign: int = 1


def _decided(answers: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return outputs.argmax(1) if answers.ndim == 1 else (outputs >= 0.5).astype(int)


def _accuracy(answers: np.ndarray, outputs: np.ndarray) -> float:
    """The share of right classes; of several labels, the share of labels that are right."""
    return float((_decided(answers, outputs) == answers).mean())


def _balanced_accuracy(answers: np.ndarray, outputs: np.ndarray) -> float:
    if answers.ndim == 2:
        columns = [_balanced_accuracy(a, np.stack([1 - o, o], 1)) for a, o in zip(answers.T, outputs.T)]
        return float(np.mean(columns))
    return sklearn_metrics.balanced_accuracy_score(answers, _decided(answers, outputs))


def _f1(answers: np.ndarray, outputs: np.ndarray) -> float:
    """Of two classes, of the second one; of several, the mean over classes."""
    average = "binary" if answers.ndim == 1 and outputs.shape[1] == 2 else "macro"
    labels = None if average == "binary" else range(outputs.shape[1])
    decided = _decided(answers, outputs)
    return sklearn_metrics.f1_score(answers, decided, average=average, labels=labels, zero_division=0.0)


def _roc_auc(answers: np.ndarray, outputs: np.ndarray) -> float:
    """The mean over classes, each against all others; classes of which there is no example, or nothing else, are left
    out."""
    table = np.eye(outputs.shape[1])[answers] if answers.ndim == 1 else answers
    there = [k for k in range(outputs.shape[1]) if 0 < table[:, k].sum() < len(table)]
    if not there:
        return 0.5
    return float(np.mean([sklearn_metrics.roc_auc_score(table[:, k], outputs[:, k]) for k in there]))


def _log_loss(answers: np.ndarray, outputs: np.ndarray) -> float:
    clipped = np.clip(outputs, 1e-7, 1 - 1e-7)
    if answers.ndim == 1:
        return float(-np.log(clipped[np.arange(len(answers)), answers]).mean())
    return float(-(answers * np.log(clipped) + (1 - answers) * np.log(1 - clipped)).mean())


def _r2(answers: np.ndarray, outputs: np.ndarray) -> float:
    return sklearn_metrics.r2_score(answers, outputs) if len(answers) > 1 else 0.0


METRICS = {
    "accuracy": Metric(CLASSES, _accuracy),
    "balanced_accuracy": Metric(CLASSES, _balanced_accuracy),
    "f1": Metric(CLASSES, _f1),
    "roc_auc": Metric(CLASSES, _roc_auc),
    "log_loss": Metric(CLASSES, _log_loss, -1),
    "r2": Metric(NUMBERS, _r2),
    "mean_absolute_error": Metric(NUMBERS, sklearn_metrics.mean_absolute_error, -1),
    "mean_squared_error": Metric(NUMBERS, sklearn_metrics.mean_squared_error, -1),
}
"""Name -> metric; the first one of a task is its default."""


def metrics_of(task: Task, names: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of a task's metrics, that to search by first: those given, then the others.

    Raises:
        UserError: where one is unknown, or not of the task.
    """
    known = [name for name, metric in METRICS.items() if task in metric.tasks]
    if names is not None and not isinstance(names, str | list | tuple):
        raise UserError(f"`metric` is {str(names)[:40]}; it must be a name, or a list of names")
    given = [names] if isinstance(names, str) else list(names or ())
    for name in given:
        if name not in known:
            raise UserError(f"`metric` is {name!r}; of {task}, it must be one of {', '.join(known)}")
    return tuple(dict.fromkeys([*given, *known]))


def figures(names: Sequence[str], answers: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """Return the values of metrics by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of classes without an example
        return {name: float(METRICS[name].compute(answers, outputs)) for name in names}
