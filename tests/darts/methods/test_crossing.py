"""Components combine: each combination takes a step and ends an epoch, or is refused in one line before training."""

import itertools
import random
from dataclasses import is_dataclass, replace

import pytest
import torch

from darts.config import MethodConfig
from darts.errors import UserError
from darts.methods.compose import COMPONENTS, compose
from tests import tiny

LISTS = ("penalties", "callbacks")
FIELDS = {
    field: (*table, *(("none",) if field in ("edges", "perturb", "skip", *LISTS) else ()))
    for field, table in COMPONENTS.items()
    if field != "stages"
}
BOUND = ("relax", "step", "arch_optimizer", "edges", "penalties", "perturb")
"""Fields whose components can exclude each other; those of the others go with all."""


def kind_of(field, name):
    """The first row of the same class: rows that differ by their options alone go together with the same others."""
    rows = COMPONENTS[field]
    same = (other for other, row in rows.items() if is_dataclass(row) and type(row) is type(rows.get(name)))
    return next(same, name)


KINDS = {field: tuple(dict.fromkeys(kind_of(field, name) for name in names)) for field, names in FIELDS.items()}

CHEAPER = {
    "monte_carlo": "monte_carlo:samples=2,inner=1",
    "neumann": "neumann:terms=2",
    "adversarial": "adversarial:steps=1",
    "operation_stopping": "operation_stopping:window=1",
    "single_paths": "single_paths:samples=2",
    "latency": "multiply_adds:form=log",  # the same component; latency needs a table of measurements
}

NOT_SIMPLEX = ("softmax", "gumbel", "concrete", "sigmoid", "dirichlet")
NEVER = {
    "relax simplex": {
        "arch_optimizer": ("adam", "identity", "sgd"),
        "step": ("monte_carlo",),
        "edges": ("per_node",),
        "penalties": ("zero_one", "towards_uniform"),
    },
    "relax sigmoid": {"perturb": ("random", "adversarial")},
    "arch_optimizer exponentiated": {
        "relax": NOT_SIMPLEX,
        "step": ("monte_carlo",),
        "edges": ("per_node",),
        "penalties": ("zero_one", "towards_uniform"),
    },
    "step monte_carlo": {
        "arch_optimizer": ("adam", "sgd"),
        "edges": ("simplex",),
        "penalties": ("entropic",),
    },
    "arch_optimizer identity": {
        "step": (
            "first_order",
            "unrolled",
            "unrolled_clipped",
            "unrolled_exact",
            "single_level",
            "mixed_level",
            "neumann",
        ),
        "edges": ("simplex",),
        "penalties": ("entropic",),
    },
    "edges simplex": {
        "relax": NOT_SIMPLEX,
        "arch_optimizer": ("adam", "sgd"),
        "penalties": ("zero_one", "towards_uniform"),
    },
    "edges per_node": {"penalties": ("entropic",)},
    "penalties entropic": {"relax": NOT_SIMPLEX, "arch_optimizer": ("adam", "sgd")},
    "penalties zero_one": {
        "relax": ("softmax", "gumbel", "concrete", "dirichlet"),
        "perturb": ("random", "adversarial"),
    },
    "penalties towards_uniform": {"relax": ("softmax", "gumbel", "concrete", "sigmoid")},
}
"""Pairs of components that no combination has. All others work together in some."""


def configuration(components):
    given = {field: CHEAPER.get(name, name) for field, name in components.items()}
    given = {field: (text,) if field in LISTS else text for field, text in given.items()}
    config = tiny.config(channels=2, epochs=1, method=MethodConfig("darts", **given))
    backend = "reference" if components["step"] == "unrolled_exact" else "auto"
    return replace(config, space=replace(config.space, backend=backend))


@pytest.fixture(scope="module")
def composed():
    """Every combination of kinds of the bound fields that is not refused; the row of a kind, and the components of the
    other fields, are drawn."""
    rng, found = random.Random(0), []
    rows = {
        (field, kind): [n for n in FIELDS[field] if kind_of(field, n) == kind]
        for field in BOUND
        for kind in KINDS[field]
    }
    for kinds in itertools.product(*(KINDS[field] for field in BOUND)):
        bound = {field: rng.choice(rows[field, kind]) for field, kind in zip(BOUND, kinds)}
        components = bound | {field: rng.choice(FIELDS[field]) for field in FIELDS if field not in BOUND}
        try:
            compose(configuration(components))
        except UserError as refused:
            assert "\n" not in str(refused) and "`method." in str(refused), refused
        else:
            found.append(components)
    return found


def pairs_of(components):
    """All pairs of kinds of components."""
    kinds = [f"{field} {kind_of(field, name)}" for field, name in components.items()]
    return {frozenset(pair) for pair in itertools.combinations(kinds, 2)}


def test_only_what_cannot_go_together_is_refused(composed):
    every = set()
    for one, other in itertools.combinations(FIELDS, 2):
        every |= {frozenset((f"{one} {a}", f"{other} {b}")) for a in KINDS[one] for b in KINDS[other]}
    never = {frozenset((a, f"{f} {b}")) for a, others in NEVER.items() for f, names in others.items() for b in names}
    assert every - set().union(*map(pairs_of, composed)) == never


def test_whatever_is_not_refused_searches(composed):
    """Few combinations that have all rows and all pairs of kinds: each takes a step, derives a genotype."""
    pairs = [pairs_of(components) | {frozenset([row]) for row in components.items()} for components in composed]
    left = set().union(*pairs)
    rows = {frozenset([(field, name)]) for field, names in FIELDS.items() for name in names}
    assert rows <= left
    costs = [3 if components["callbacks"] == "eigenvalue_stop" else 1 for components in composed]
    while left:
        best = max(range(len(composed)), key=lambda index: len(pairs[index] & left) / costs[index])
        left -= pairs[best]
        task = tiny.search(configuration(composed[best]), count=8, make=tiny.few_candidates)
        try:
            tiny.run(task)
        except Exception as error:
            raise AssertionError(f"{composed[best]} fails") from error
        assert len(task.genotypes) == 1, composed[best]
        assert all(torch.isfinite(logit).all() for logit in task.problem.logits.values()), composed[best]
