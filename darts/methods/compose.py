"""Compose the method of a configuration: a named record, with the components that take the place of its own.

A component is written as its name, or as its name and options: ``gumbel:first=5,last=0.5``. Components that cannot go
together are refused here, before anything is trained, by what they state about themselves.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from darts.bilevel.requirements import (
    DOUBLE_BACKWARD,
    OPERATIONS,
    SGD_STEPS,
    SINGLE_LEVEL,
    Requirements,
    requirements_of,
)
from darts.config import SearchConfig
from darts.config.ranges import is_finite
from darts.errors import UserError
from darts.methods import (
    ARCH_OPTIMIZERS,
    CALLBACKS,
    DISCRETIZATIONS,
    EDGES,
    METHODS,
    PENALTIES,
    PERTURBATIONS,
    RELAXATIONS,
    SKIPS,
    STAGES,
    STEPS,
)
from darts.methods.method import Method, spans
from genotypes.errors import kind_and_text
from supernet.ops import OPS

COMPONENTS: dict[str, Mapping[str, Any]] = {
    "relax": RELAXATIONS,
    "step": STEPS,
    "arch_optimizer": ARCH_OPTIMIZERS,
    "discretize": DISCRETIZATIONS,
    "edges": EDGES,
    "penalties": PENALTIES,
    "perturb": PERTURBATIONS,
    "skip": SKIPS,
    "callbacks": CALLBACKS,
    "stages": STAGES,
}
"""Field of a method -> its components by name."""

VALUES = ("every", "without", "reach_end")
"""Fields of a method that are no components."""

KINDS = {bool: "true or false", int: "a whole number", float: "a number", type(None): "a whole number"}
"""Type of an option -> what its value must be."""

NOTHING = "none"
"""Takes the place of a component that a method can do without."""


def compose(config: SearchConfig) -> Method:
    """Return the method that a configuration names, with its own components replaced by those it gives.

    Raises:
        UserError: where a name or an option is unknown, or what was composed cannot work, with the reason.
    """
    method = named(config.method.name)
    given: dict[str, Any] = {}
    for field, table in COMPONENTS.items():
        texts, option = getattr(config.method, field), f"`method.{field}`"
        default = Method.__dataclass_fields__[field].default
        if texts is None:
            continue
        if texts in (NOTHING, (NOTHING,)) and default in (None, ()):
            given[field] = default
        elif isinstance(default, tuple):
            given[field] = tuple(component(option, table, text) for text in texts)
        else:
            given[field] = component(option, table, texts)
    given |= {field: value for field in VALUES if (value := getattr(config.method, field)) is not None}
    unknown = [name for name in given.get("without", ()) if name not in OPS]
    if unknown:
        raise UserError(f"`method.without` is {unknown[0]!r}; it must be one of {', '.join(OPS)}")
    method = dataclasses.replace(method, **given)
    for reason in _conflicts(config, method):
        raise UserError(reason)
    return method


def named(name: str) -> Method:
    """Return a method by its name in ``METHODS``, or the ``METHOD`` of a Python file of your own.

    Raises:
        UserError: where there is no such method or file, or the file fails or defines no method.
    """
    if name in METHODS:
        return METHODS[name]
    if not name.endswith(".py"):
        raise UserError(f"`method.name` is {name!r}; it must be one of {', '.join(METHODS)}, or a Python file")
    if not Path(name).is_file():
        raise UserError(f"`method.name` {name}: no such file")
    spec = importlib.util.spec_from_file_location(Path(name).stem, name)
    assert spec is not None and spec.loader is not None  # a file named *.py has a loader
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"`method.name` {name}: {kind_and_text(error, 200)}") from error
    method = getattr(module, "METHOD", None)
    if not isinstance(method, Method):
        raise UserError(f"`method.name` {name}: the file must define METHOD, a darts.methods.method.Method")
    return method


def component(option: str, table: Mapping[str, Any], text: str) -> Any:
    """Return a component by its name and options.

    Args:
        option: the configuration's field, for messages.
        table: the registry of this kind of component.
        text: ``name`` or ``name:key=value,key=value``.

    Raises:
        UserError: naming ``option`` and what is allowed.
    """
    name, _, options = text.partition(":")
    if name not in table:
        raise UserError(f"{option} is {name!r}; it must be one of {', '.join(table)}")
    found = table[name]
    fields = {f.name: f.default for f in dataclasses.fields(found) if f.init} if dataclasses.is_dataclass(found) else {}
    values = {}
    for each in filter(None, options.split(",")):
        key, _, value = each.partition("=")
        if key not in fields:
            raise UserError(f"{option} {text}: {name} has no option {key!r}; it has {', '.join(fields) or 'none'}")
        try:
            values[key] = _parsed(value, fields[key])
        except ValueError:
            kind = KINDS[type(fields[key])]
            raise UserError(f"{option} {text}: {key} is {value!r}; it must be {kind}") from None
    try:
        return dataclasses.replace(found, **values) if values else found
    except ValueError as error:
        raise UserError(f"{option} {text}: {error}") from None


def _parsed(value: str, default: Any) -> Any:
    if isinstance(default, bool):
        if value.lower() not in ("true", "false"):
            raise ValueError
        return value.lower() == "true"
    if isinstance(default, str):
        return value
    if default is None:
        return int(value)
    number = type(default)(value)
    if not is_finite(number):
        raise ValueError
    return number


def _conflicts(config: SearchConfig, method: Method) -> Iterator[str]:
    """Yield what cannot go together, and what to change."""
    stated = [(f"method.{field}", requirements_of(each)) for field, each in method.components]
    if config.train_share == 1:
        reason = "`train_share` 1 leaves no examples to train the logits on, which only a single level can do without"
        stated.append(("train_share", Requirements(requires={SINGLE_LEVEL: reason})))
    provided = method.properties.union(*(statement.provides for _, statement in stated))
    if config.space.backend in ("auto", "reference"):
        provided |= {DOUBLE_BACKWARD}
    if config.weights.optimizer == "sgd":
        provided |= {SGD_STEPS}
    for field, statement in stated:
        yield from (f"{why}: {without(field)}" for name, why in statement.excludes.items() if name in provided)
    for field, statement in stated:
        for name, why in statement.requires.items():
            if name not in provided and name != OPERATIONS:
                yield f"{why}: set {_provider_of(name)}, or {without(field)}"
    for stage in method.stages:
        partial = config.space.partial or stage.partial
        if config.space.channels % partial:
            yield (
                f"`space.channels` {config.space.channels} cannot be split into {partial} equal parts, as the method's "
                f"partial channels need; take a multiple of {partial}, or set `space.partial`"
            )
    spread = spans(method.stages, config.epochs)
    if not all(spread):
        yield f"`epochs` {config.epochs} is too short: the method has {len(spread)} stages, of one epoch or more each"


def without(field: str) -> str:
    """Return the advice to do without the component of a field of the configuration."""
    name = field.removeprefix("method.")
    optional = name in COMPONENTS and Method.__dataclass_fields__[name].default in (None, ())
    return f"set `{field}` {NOTHING}" if optional else f"take another `{field}`"


def _provider_of(name: str) -> str:
    """Return the option that brings a property."""
    if name == DOUBLE_BACKWARD:
        return "`space.backend` reference"
    if name == SGD_STEPS:
        return "`weights.optimizer` sgd"
    for field, registry in COMPONENTS.items():
        names = [key for key, component in registry.items() if name in requirements_of(component).provides]
        if names:
            return f"`method.{field}` {' or '.join(names)}"
    return f"a component that provides {name!r}"
