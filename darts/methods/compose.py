"""The method that a configuration composes: a named record, and the components that take the place of its own.

A component is written as its name, or as its name and options: ``gumbel:first=5,last=0.5``. What cannot go together is
refused here, before anything is trained.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from darts.bilevel.arch_optimizers import identity
from darts.bilevel.hypergradients import unrolled_exact
from darts.bilevel.penalties import Resource
from darts.config.schema import SearchConfig
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
from darts.methods.drnas import DirichletGates, TowardsUniform
from darts.methods.fair_darts import Sigmoid, ZeroOne
from darts.methods.gaea import Entropic, ExponentiatedGradient, Simplex, weights_of_edges
from darts.methods.method import Method, spans
from darts.methods.snas import single_level
from darts.methods.zarts import MonteCarlo
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

VALUES = ("every", "without")
"""Fields of a method that are no components."""

KINDS = {bool: "true or false", int: "a whole number", float: "a number", type(None): "a whole number"}
"""Type of an option -> what its value must be."""

NOTHING = "none"
"""Takes the place of a component that a method can do without."""


def compose(config: SearchConfig) -> Method:
    """The method that a configuration names, with its own components replaced by those it gives.

    Raises:
        UserError: where a name or an option is unknown, or what was composed cannot work, with the reason.
    """
    method = named(config.method.name)
    given = {}
    for field, table in COMPONENTS.items():
        texts, option = getattr(config.method, field), f"--method.{field}"
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
        raise UserError(f"--method.without is {unknown[0]!r}; it must be one of {', '.join(OPS)}")
    method = dataclasses.replace(method, **given)
    for reason in _conflicts(config, method):
        raise UserError(reason)
    return method


def named(name: str) -> Method:
    """A method by its name in ``METHODS``, or the ``METHOD`` of a Python file of your own."""
    if name in METHODS:
        return METHODS[name]
    if not name.endswith(".py"):
        raise UserError(f"--method.name is {name!r}; it must be one of {', '.join(METHODS)}, or a Python file")
    if not Path(name).is_file():
        raise UserError(f"--method.name {name}: no such file")
    spec = importlib.util.spec_from_file_location(Path(name).stem, name)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"--method.name {name}: {type(error).__name__}: {error}".splitlines()[0]) from error
    method = getattr(module, "METHOD", None)
    if not isinstance(method, Method):
        raise UserError(f"--method.name {name}: the file must define METHOD, a darts.method.Method")
    return method


def component(option: str, table: Mapping[str, Any], text: str) -> Any:
    """A component by its name and options.

    Raises:
        UserError: naming ``option`` and what is allowed.
    """
    name, _, options = text.partition(":")
    if name not in table:
        raise UserError(f"{option} is {name!r}; it must be one of {', '.join(table)}")
    found = table[name]
    fields = {f.name: f.default for f in dataclasses.fields(found)} if dataclasses.is_dataclass(found) else {}
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
    if not math.isfinite(number):
        raise ValueError
    return number


def _conflicts(config: SearchConfig, method: Method) -> Iterator[str]:
    """What cannot go together, and what to change."""
    space = config.space
    if method.step is unrolled_exact and space.backend not in ("auto", "reference"):
        yield "--method.step unrolled_exact differentiates twice; use --space.backend reference"
    simplex = isinstance(method.relax, Simplex)
    if simplex and isinstance(method.step, MonteCarlo):
        yield "monte_carlo moves what it likes; simplex gates would leave the simplex: take another --method.step"
    if simplex is not isinstance(method.arch_optimizer, ExponentiatedGradient):
        yield (
            "simplex gates stay on the simplex by the exponentiated gradient alone, and it moves no others: "
            "set --method.relax simplex and --method.arch_optimizer exponentiated together, or neither"
        )
    if method.edges is not None and simplex is not (method.edges is weights_of_edges):
        wanted = "simplex" if simplex else "per_node"
        yield f"weights of edges move as the gates do: set --method.edges {wanted}"
    if isinstance(method.step, MonteCarlo) is not (method.arch_optimizer is identity):
        yield (
            "monte_carlo returns a move, no gradient: set --method.step monte_carlo and --method.arch_optimizer direct "
            "together, or neither"
        )
    for penalty, relax, why in (
        (ZeroOne, Sigmoid, "drives independent gates to 0 or 1; gates that sum to 1 cannot all go there"),
        (TowardsUniform, DirichletGates, "is a divergence of Dirichlet distributions"),
        (Entropic, Simplex, "is a divergence of gates that are themselves the parameters"),
    ):
        if any(isinstance(each, penalty) for each in method.penalties) and not isinstance(method.relax, relax):
            name = next(key for key, value in PENALTIES.items() if isinstance(value, penalty))
            wanted = next(key for key, value in RELAXATIONS.items() if isinstance(value, relax))
            yield f"the penalty {name} {why}: set --method.relax {wanted}, or --method.penalties none"
    scored = any(isinstance(each, Resource) and each.estimate == "policy_gradient" for each in method.penalties)
    if scored and not hasattr(method.relax, "log_density"):
        sampled = ", ".join(name for name, relax in RELAXATIONS.items() if hasattr(relax, "log_density"))
        yield f"policy_gradient needs samples of a known density: set --method.relax {sampled}, or another estimate"
    if isinstance(method.relax, Sigmoid) and method.perturb is not None:
        yield "--method.perturb brings gates back to the simplex; sigmoid gates are not on it"
    networks = [stage for stage in method.stages[1:] if stage.fresh or stage.keep]
    if networks and method.callbacks:
        yield "callbacks remember one network's candidates, which the stages change: set --method.callbacks none"
    if any(stage.fresh for stage in networks) and hasattr(method.discretize, "decide"):
        yield "edges that are settled while searching are lost when a stage begins anew: --method.discretize top_edges"
    if config.train_share == 1 and method.step is not single_level:
        yield "--train-share 1 leaves no half to train the logits on; only --method.step single_level needs none"
    for stage in method.stages:
        partial = space.partial or stage.partial
        if space.channels % partial:
            yield (
                f"--space.channels {space.channels} cannot be split into {partial} equal parts, as the method's "
                f"partial channels need; take a multiple of {partial}, or set --space.partial"
            )
    spread = spans(method.stages, config.epochs)
    if not all(spread):
        yield f"--epochs {config.epochs} is too short: the method has {len(spread)} stages, of one epoch or more each"
