"""Hyper-parameters beside the architecture: fields of the configuration that each trial chooses for itself.

``weights.lr=log:1e-3..1e-1`` is a range, ``weights.momentum=0.5..0.9:0.1`` one with a step, ``batch_size=32,64,128`` a
choice. To Optuna's own samplers a range is continuous. The strategies of this project decide between values: they see
a range as the values of its step, or as ``GRID`` evenly spaced ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from random import Random
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, Trial

from darts.artifacts.tuned import OF_A_TRIAL
from darts.blackbox.points import Decision, Decisions, Point
from darts.config.blackbox import BlackboxConfig
from darts.config.fields import check_ranges, fields_of, replaced
from darts.config.ranges import is_finite
from darts.config.types_in_words import in_words
from darts.errors import UserError

GRID = 17
"""Values of a range without a step that a strategy decides between."""

RANGE = re.compile(r"(log:)?([^:,]+)\.\.([^:,]+?)(?::(.+))?")


@dataclass(frozen=True)
class Tuned:
    """A tuned field.

    Attributes:
        path: of the field, such as ``weights.lr``; the name of the trial's parameter.
        distribution: Optuna's.
    """

    path: str
    distribution: BaseDistribution

    def decision(self) -> Decision:
        """Return the values that a strategy decides between, as texts."""
        return Decision(self.path, tuple(map(text_of, self._values())))

    def suggest(self, trial: Trial | FrozenTrial) -> Any:
        """Ask a trial for the value."""
        how = self.distribution
        if isinstance(how, CategoricalDistribution):
            return trial.suggest_categorical(self.path, how.choices)
        if isinstance(how, IntDistribution):
            return trial.suggest_int(self.path, how.low, how.high, step=how.step, log=how.log)
        assert isinstance(how, FloatDistribution)
        return trial.suggest_float(self.path, how.low, how.high, step=how.step, log=how.log)

    def _values(self) -> Sequence[Any]:
        how = self.distribution
        if isinstance(how, CategoricalDistribution):
            return how.choices
        assert isinstance(how, IntDistribution | FloatDistribution)
        if how.step is not None and not how.log and (how.high - how.low) / how.step < 2 * GRID:
            count = round((how.high - how.low) / how.step)
            return [min(how.low + k * how.step, how.high) for k in range(count + 1)]
        ends = (math.log(how.low), math.log(how.high)) if how.log else (how.low, how.high)
        spaced = [ends[0] + (ends[1] - ends[0]) * k / (GRID - 1) for k in range(GRID)]
        rounded = [float(f"{math.exp(value) if how.log else value:.4g}") for value in spaced]
        values = [min(max(value, how.low), how.high) for value in rounded]
        return list(dict.fromkeys(map(round, values))) if isinstance(how, IntDistribution) else values


class TunedDecisions(Decisions):
    """The decisions of an architecture, followed by those on the tuned fields.

    Args:
        architecture: its decisions.
        tuned: the fields.
    """

    def __init__(self, architecture: Decisions, tuned: Sequence[Tuned]):
        self._architecture, self._own = architecture, [each.decision() for each in tuned]
        self._names = {each.name for each in self._own}

    def following(self, made: Mapping[str, str]) -> Decision | None:
        """Return the first decision that is not made yet."""
        found = self._architecture.following(self._without_own(made))
        return found or next((each for each in self._own if each.name not in made), None)

    def fault(self, point: Point) -> str | None:
        """Return why a complete point is no architecture; every value of a tuned field is allowed."""
        return self._architecture.fault(self._without_own(point))

    def completable(self, made: Point) -> bool:
        """Return False where the decisions on the architecture already rule out every one."""
        return self._architecture.completable(self._without_own(made))

    def sample(self, rng: Random) -> Point:
        """Draw an architecture, and each tuned field uniformly."""
        return {**self._architecture.sample(rng), **{each.name: rng.choice(each.values) for each in self._own}}

    def count(self) -> int | None:
        """Return the number of points, with as many values of a range as a strategy decides between."""
        count = self._architecture.count()
        return None if count is None else count * math.prod(len(each.values) for each in self._own)

    def encoding(self, point: Point, paths: int | None) -> list[float]:
        """Return the architecture's encoding, and for each tuned field its value's place among all, in [0, 1]."""
        places = [each.values.index(point[each.name]) / max(1, len(each.values) - 1) for each in self._own]
        return [*self._architecture.encoding(self._without_own(point), paths), *places]

    def _without_own(self, point: Mapping[str, str]) -> Point:
        return {name: value for name, value in point.items() if name not in self._names}


def tuned_of(config: BlackboxConfig) -> tuple[Tuned, ...]:
    """Return the fields that a configuration tunes.

    Raises:
        UserError: naming the field that cannot be tuned, or the value that it cannot have.
    """
    found = tuple(_tuned(config, text) for text in config.tune)
    for position, each in enumerate(found):
        if each.path in [other.path for other in found[:position]]:
            raise UserError(f"`tune` has {each.path} twice; leave out one")
    if found and config.evaluator_name != "training":
        raise UserError(f"`tune` needs architectures that are trained; `evaluator` is {config.evaluator}")
    return found


def _tuned(config: BlackboxConfig, text: str) -> Tuned:
    path, equals, values = text.partition("=")
    path = path.strip().removeprefix("--").replace("-", "_")
    known = {field.path: field.hint for field in fields_of(config)}
    if not equals or path not in known:
        near = [name for name in known if name.endswith(f".{path}")]
        example = f"{near[0]}=..." if near else "FIELD=VALUES, such as weights.lr=log:1e-3..1e-1 or batch_size=32,64"
        raise UserError(f"`tune` is {text[:60]!r}; write {example}")
    if not path.startswith(OF_A_TRIAL):
        allowed = ", ".join(f"{name}*" if name.endswith(".") else name for name in OF_A_TRIAL)
        raise UserError(f"`tune`: {path} belongs to the whole search; a trial may choose {allowed}")
    distribution = _distribution(path, known[path], values)
    ends = (
        distribution.choices
        if isinstance(distribution, CategoricalDistribution)
        else (distribution.low, distribution.high)
    )
    for value in ends:
        try:
            check_ranges(replaced(config, {path: value}))
        except UserError as error:
            raise UserError(f"`tune`: {error}") from None
    if path == "batch_size" and min(ends) < 2:
        raise UserError("`tune`: `batch_size` is 1; BatchNorm needs 2 or more images")
    return Tuned(path, distribution)


def _distribution(path: str, hint: Any, text: str) -> Any:
    """Return the distribution that a text describes, of a field of this type."""
    match = RANGE.fullmatch(text)
    kinds = {kind for kind in _kinds(hint) if kind in (int, float)}
    if match is None:
        values = [_value(path, hint, each) for each in text.split(",")]
        if len(set(values)) < 2 or len(set(values)) < len(values):
            raise UserError(f"`tune`: {path} is {text[:40]!r}; it must be two or more different values, or LOW..HIGH")
        return CategoricalDistribution(values)
    if not kinds:
        raise UserError(f"`tune`: {path} is not numeric; list its values, as in {path}=A,B")
    kind = float if float in kinds else int
    low, high = (_value(path, kind, each) for each in match.group(2, 3))
    step = _value(path, kind, match[4]) if match[4] else None
    if not low < high:
        raise UserError(f"`tune`: {path} is {text[:40]!r}; the first number must be less than the second")
    if match[1] and (low <= 0 or step is not None):
        raise UserError(f"`tune`: {path} is {text[:40]!r}; a log range begins above 0 and has no step")
    if step is not None and not (0 < step <= high - low and (high - low) / step < 2**31):
        raise UserError(f"`tune`: {path} is {text[:40]!r}; its step must be above 0 and at most {high - low:g}")
    if step is not None:
        high = low + math.floor((high - low) / step + 1e-9) * step
    if kind is int:
        return IntDistribution(low, high, log=bool(match[1]), step=step or 1)
    return FloatDistribution(low, high, log=bool(match[1]), step=step)


def _value(path: str, hint: Any, text: str) -> Any:
    """Return a value of a field from a text.

    Raises:
        UserError: where the field cannot have it.
    """
    text = text.strip()
    for kind in _kinds(hint):
        if kind is NoneType and text.lower() == "none":
            return None
        if kind is bool and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind in (int, float):
            try:
                value = kind(text)
            except ValueError:
                continue
            if is_finite(value):
                return value
        if kind is str or kind == text:
            return text
    raise UserError(f"`tune`: {path} is {text[:40]!r}; it must be {in_words(hint, 'none')}")


def _kinds(hint: Any) -> tuple[Any, ...]:
    """Return the types that a field's values may have; of a literal, its values."""
    if get_origin(hint) in (Union, UnionType):
        return tuple(chain.from_iterable(map(_kinds, get_args(hint))))
    return get_args(hint) if get_origin(hint) is Literal else (hint,)


def suggest_tuned(trial: Trial | FrozenTrial, tuned: Sequence[Tuned]) -> dict[str, Any]:
    """Ask a trial for the values of all tuned fields."""
    return {each.path: each.suggest(trial) for each in tuned}


def text_of(value: Any) -> str:
    """Return a parameter's value as a strategy's point holds it."""
    return repr(value) if isinstance(value, float) else str(value)


def holds(distribution: BaseDistribution, text: str) -> bool:
    """Whether a distribution has the value that a strategy asks for."""
    if isinstance(distribution, CategoricalDistribution):
        return text in map(text_of, distribution.choices)
    try:
        return distribution._contains(float(text))
    except ValueError:
        return False


def value_from(distribution: BaseDistribution, text: str) -> Any:
    """Return the value that a strategy asks for, of a distribution that ``holds`` it."""
    if isinstance(distribution, CategoricalDistribution):
        return next(choice for choice in distribution.choices if text_of(choice) == text)
    return int(text) if isinstance(distribution, IntDistribution) else float(text)
