"""The answers of examples: classes, several labels of one example, or numbers; and the task that they make.

Axes: ``n`` example, ``k`` class, label or number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from darts.artifacts.plain_values import record_from
from darts.errors import UserError

Task = Literal["classification", "multilabel", "regression"]
TASKS = ("classification", "multilabel", "regression")

Name = str | int | float | bool
"""The name of a class, as the user gave it."""

FEW = 20
"""Whole numbers of at most so many different values are classes; more are classes where each occurs often."""

OFTEN = 10
"""Examples of a class, on average, from which on whole numbers of more than ``FEW`` values are classes."""


@dataclass(frozen=True)
class Target:
    """What is predicted.

    Attributes:
        task: classification, multilabel (each label is there or not) or regression.
        names: of the classes, or of the labels; empty for numbers.
        mean, std: of each number, ``(k,)``: networks are trained on standardized ones.
        flat: whether a prediction is one value, not a row of them.
    """

    task: Task
    names: tuple[Name, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    flat: bool = True

    @property
    def outputs(self) -> int:
        """Number of outputs of a network."""
        return len(self.names) or len(self.mean)

    def state(self) -> dict[str, Any]:
        """Return plain values that ``target_from`` reads."""
        return asdict(self)

    def encode(self, y: Any) -> Tensor:
        """Return answers as a network is trained on them: classes ``(n,)`` int64, labels or numbers ``(n, k)`` float32.

        Raises:
            UserError: where there is a class that was not trained on, or a value that is missing.
        """
        if self.task == "classification":
            found = _column(y)
            index = {name: k for k, name in enumerate(self.names)}
            codes = [index.get(_plain(value), -1) for value in found]
            if -1 in codes:
                unknown, known = _plain(found[codes.index(-1)]), ", ".join(map(str, self.names[:10]))
                raise UserError(f"`y` has the class {unknown!r}, which the model was not trained on; it knows {known}")
            return torch.tensor(codes, dtype=torch.int64)
        if self.task == "multilabel":
            return torch.from_numpy(_label_matrix(y, self.names).astype(np.float32))
        values = numbers(y)
        if values.shape[1] != len(self.mean):
            raise UserError(f"`y` has {values.shape[1]} numbers an example; the model predicts {len(self.mean)}")
        return torch.from_numpy(((values - self.mean) / self.std).astype(np.float32))

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Return predictions of a model's outputs ``(n, k)``: names ``(n,)``, 0 or 1 for each label, or numbers."""
        if self.task == "classification":
            return np.array(self.names)[outputs.argmax(1)]
        if self.task == "multilabel":
            return (outputs >= 0.5).astype(np.int64)
        return outputs[:, 0] if self.flat else outputs


def target_from(state: Mapping[str, Any]) -> Target:
    """Return a target of what ``Target.state`` returned.

    Raises:
        ValueError: where there is no such target.
    """
    target = record_from(Target, state, "target")
    if target.task == "regression":
        numbers = all(math.isfinite(mean) and 0 < std < math.inf for mean, std in zip(target.mean, target.std))
        sound = bool(target.mean) and len(target.mean) == len(target.std) and numbers
    else:
        sound = len(set(target.names)) == len(target.names) > (target.task == "classification")
    if not sound:
        raise ValueError(f"target is {str(target)[:80]}")
    return target


def target_of(y: Any, task: str | None = None) -> Target:
    """Infer the task of answers.

    Text, truth values, and whole numbers of few values are classes; other numbers are predicted as numbers. Rows of 0
    and 1, and collections of names, are several labels of one example.

    Args:
        y: answers, of any form that NumPy makes an array of.
        task: one of ``TASKS``, where it is not to be inferred.

    Raises:
        UserError: where no model can be made of them: missing values, one class, no answers.
    """
    if task is not None and task not in TASKS:
        raise UserError(f"`task` is {task!r}; it must be one of {', '.join(TASKS)}")
    if _are_collections(y):
        names = sorted({_plain(name) for labels in y for name in labels}, key=str)
        if len(names) < 2:
            raise UserError(f"`y` has {len(names)} labels; two or more are needed")
        return Target("multilabel", tuple(names), flat=False)
    values = _array(y)
    _refuse_missing(values)
    wide = values.ndim == 2 and values.shape[1] > 1
    task = task or _inferred(values, wide)
    if task == "multilabel":
        if not wide or not np.isin(values, (0, 1)).all():
            raise UserError(
                "`y` must be rows of 0 and 1, one column for each label, or lists of names: task multilabel"
            )
        return Target("multilabel", tuple(range(values.shape[1])), flat=False)
    if task == "regression":
        table = numbers(y)
        std = table.std(0)
        if not (std > 0).all():
            raise UserError(f"`y` is the same number for all {len(table)} examples; there is nothing to learn")
        return Target("regression", (), tuple(table.mean(0).tolist()), tuple(std.tolist()), flat=values.ndim == 1)
    names = sorted({_plain(value) for value in _column(y)}, key=lambda name: (str(type(name)), name))
    if len(names) < 2:
        raise UserError(f"`y` has one class only, {names[0]!r}; two or more are needed")
    return Target("classification", tuple(names))


def numbers(y: Any) -> np.ndarray:
    """Return answers as numbers, ``(n, k)`` float64.

    Raises:
        UserError: where one is not finite.
    """
    values = _array(y)
    _refuse_missing(values)
    try:
        table = values.astype(np.float64)
    except (TypeError, ValueError):
        raise UserError("`y` holds text; regression needs numbers: set `task` classification") from None
    return table.reshape(len(table), -1)


def _inferred(values: np.ndarray, wide: bool) -> Task:
    if values.dtype.kind not in "iuf":
        return "classification" if not wide else "multilabel"
    whole = values.dtype.kind in "iu" or bool((values == np.round(values)).all())
    if wide:
        return "multilabel" if whole and bool(np.isin(values, (0, 1)).all()) else "regression"
    different = len(np.unique(values))
    return "classification" if whole and (different <= FEW or len(values) >= OFTEN * different) else "regression"


def _array(y: Any) -> np.ndarray:
    """Return answers as an array ``(n,)`` or ``(n, k)``.

    Raises:
        UserError: where they are of neither form, or there are none.
    """
    if isinstance(y, Tensor):
        y = y.detach().cpu().numpy()
    try:
        values = np.asarray(y)
    except ValueError:
        raise UserError("`y` has rows of unequal lengths; they must be of one length") from None
    if values.dtype.kind == "O" and values.ndim == 1:
        values = _tidied(values)
    if values.ndim not in (1, 2) or len(values) == 0 or values.dtype.kind == "c":
        shape = tuple(values.shape)
        raise UserError(
            f"`y` is an array {shape} of {values.dtype}; it must hold one answer, or a row, for each example"
        )
    return values


def _tidied(values: np.ndarray) -> np.ndarray:
    """Return objects of one plain type as an array of that type."""
    kinds = {type(value) for value in values}
    if all(issubclass(kind, bool | np.bool_) for kind in kinds):
        return values.astype(bool)
    if all(issubclass(kind, int | float | np.number) and not issubclass(kind, bool) for kind in kinds):
        return np.array([value.item() if isinstance(value, np.number) else value for value in values])
    return values


def _refuse_missing(values: np.ndarray) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise UserError(f"`y` is {values[row]} at example {row}; leave out examples without an answer (NaN, infinity)")
    if values.dtype.kind == "O":
        for row, value in enumerate(values.ravel()):
            if value is None or (isinstance(value, float) and value != value):
                raise UserError(f"`y` is {value} at example {row}; leave out examples without an answer")
            if not isinstance(value, str | bytes | int | float | np.generic):
                raise UserError(f"`y` is a {type(value).__name__} at example {row}; it must be text or a number")


def _column(y: Any) -> np.ndarray:
    values = _array(y)
    _refuse_missing(values)
    if values.ndim == 2:
        if values.shape[1] != 1:
            raise UserError(f"`y` has {values.shape[1]} columns; classification needs one class for each example")
        values = values[:, 0]
    return values


def _plain(value: Any) -> Name:
    """Return a value as plain Python: numbers that are whole are whole numbers."""
    value = value.item() if isinstance(value, np.generic) else value
    value = value.decode(errors="replace") if isinstance(value, bytes) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _are_collections(y: Any) -> bool:
    """Return whether each answer is a collection of names, in any number."""
    if not isinstance(y, list | tuple) or not y or not all(isinstance(labels, list | tuple | set) for labels in y):
        return False
    return any(isinstance(name, str) for labels in y for name in labels) or any(isinstance(labels, set) for labels in y)


def _label_matrix(y: Any, names: tuple[Name, ...]) -> np.ndarray:
    """Return which labels each example has, ``(n, k)``, 0 or 1."""
    if not _are_collections(y):
        values = _array(y)
        if values.ndim != 2 or values.shape[1] != len(names) or not np.isin(values, (0, 1)).all():
            raise UserError(f"`y` must be rows of {len(names)} values, each 0 or 1")
        return values
    index = {name: k for k, name in enumerate(names)}
    matrix = np.zeros((len(y), len(names)))
    for row, labels in enumerate(y):
        for name in labels:
            if _plain(name) not in index:
                raise UserError(f"`y` has the label {name!r}, which the model was not trained on")
            matrix[row, index[_plain(name)]] = 1
    return matrix
