"""The judgement of a protocol: searched architectures beside random ones of the same space under the same training.

The relative improvement is that of Yang et al. 2020, ``100 (m - r) / r`` with the means ``m`` of searched and ``r`` of
random architectures. Broken architectures pull ``r`` down, so beside it stands the gap to the best of as many random
architectures as cost what a search and its training cost. The unit of every test is an architecture: several trainings
of one are averaged first.

Axes: ``n`` architecture, ``r`` retraining.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np

from darts.experiments.estimates import best_of, mean_difference, permutation_p, relative_improvement, smallest_p
from darts.report.figures import duration, headline_keys, title

ARCHITECTURES = "architectures"
SEARCHED, RANDOM, BASELINE = "searched", "random", "baseline"
"""The groups of architectures; the last, one fixed architecture, only where one was given."""

Architecture = Mapping[str, Any]
"""An architecture's figure, such as ``test_accuracy``, and ``retrain_seconds`` by retraining; ``search_seconds``,
``genotype``."""


def judgement(found: Mapping[str, Sequence[Architecture]]) -> dict[str, Any]:
    """Return means, spreads, relative improvement, significance, and the gap at equal budget; figures as shares.

    There is no relative improvement where a random architecture has 0: a mean of resampled ones may then be 0.
    ``figure`` is the one that is judged, the first of the retrainings' headline.
    """
    figure = headline_keys(found[SEARCHED][0])[0]
    values = {group: np.array([each[figure] for each in rows]) for group, rows in found.items()}
    searched, random = (values[group].mean(1).tolist() for group in (SEARCHED, RANDOM))
    return {
        "figure": figure,
        **{group: _spread(of_group) for group, of_group in values.items()},
        "relative_improvement": relative_improvement(searched, random).rounded() if min(random) > 0 else None,
        "difference": mean_difference(searched, random).rounded(6),
        "p": round(permutation_p(searched, random), 5),
        "smallest_p": round(smallest_p(len(searched), len(random)), 5),
        "equal_budget": _equal_budget(found, values),
    }


def _spread(values: np.ndarray) -> dict[str, Any]:
    """Return mean and standard deviation over architectures, and the deviation of one training of an architecture."""
    count, repeats = values.shape
    means = values.mean(1)
    within = sqrt(float(values.var(1, ddof=1).mean())) if repeats > 1 else None
    return {
        "architectures": count,
        "trainings": repeats,
        "mean": float(means.mean()),
        "std": float(means.std(ddof=1)) if count > 1 else 0.0,
        "std_of_training": within,
    }


def _equal_budget(found: Mapping[str, Sequence[Architecture]], values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the best of ``n`` random architectures, where training ``n`` costs a search and one training.

    Where fewer were trained than the budget allows, all of them.
    """
    search = float(np.mean([each["search_seconds"] for each in found[SEARCHED]]))
    training = float(np.mean([each["retrain_seconds"] for group in (SEARCHED, RANDOM) for each in found[group]]))
    affordable = 1 + int(search / training)
    count, repeats = values[RANDOM].shape
    size = min(affordable, count)
    best = best_of(values[RANDOM], size)
    return {
        "search_seconds": round(search, 2),
        "retrain_seconds": round(training, 2),
        "affordable": affordable,
        "best_of": size,
        "value": best,
        "gap": float(values[SEARCHED].mean()) - best,
        "independent": repeats > 1,
    }


def lines(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield a protocol's judgement in words, in percent; what was changed in the recipe, and what is published."""
    found = results["judgement"]
    for group, word in ((SEARCHED, "searched"), (RANDOM, "random")):
        row = found[group]
        training = row["std_of_training"]
        one = "" if training is None else f"; one training deviates by {100 * training:.2f}"
        yield (
            f"{word}: {100 * row['mean']:.2f} ± {100 * row['std']:.2f} % {title(found['figure'])} "
            f"({row['architectures']} architectures{one})"
        )
    if BASELINE in found:
        row = found[BASELINE]
        yield (
            f"baseline: {100 * row['mean']:.2f} ± {100 * (row['std_of_training'] or 0):.2f} % {title(found['figure'])} "
            f"({row['trainings']} trainings)"
        )
    improvement = found["relative_improvement"]
    yield "relative improvement over random architectures: " + (
        "{:.2f} %, 95 % interval {:.2f} to {:.2f}".format(*improvement)
        if improvement
        else f"not stated, since one of these has a {title(found['figure'])} of 0"
    )
    difference = ", 95 % interval {1:.2f} to {2:.2f}".format(*(100 * each for each in found["difference"]))
    yield (
        f"difference: {100 * found['difference'][0]:.2f} points{difference}; p = {found['p']:.3f} (permutation test "
        f"over architectures; the least possible p is {found['smallest_p']:.3f})"
    )
    budget = found["equal_budget"]
    chosen = "chosen by one training and judged by the others" if budget["independent"] else "chosen and judged by one"
    short = "" if budget["best_of"] == budget["affordable"] else f", as many as were trained of {budget['affordable']}"
    yield (
        f"at equal budget: a search takes {duration(budget['search_seconds'])}, a training "
        f"{duration(budget['retrain_seconds'])}; the best of {budget['best_of']} random architectures{short} has "
        f"{100 * budget['value']:.2f} % ({chosen}), the gap is {100 * budget['gap']:+.2f} points"
    )
    for part, fields in results["changed"].items():
        if fields:
            shown = ", ".join(f"{name} {ours} in place of {theirs}" for name, (ours, theirs) in fields.items())
            yield f"{part}: not as in the recipe: {shown}"
    published = results["published"]
    if published:
        spread = "" if published["std"] is None else f" ± {published['std']:.2f}"
        ours = f"{100 * (1 - found[SEARCHED]['mean']):.2f} ± {100 * found[SEARCHED]['std']:.2f} %"
        yield f"test error: {ours} here, {published['test_error']:.2f}{spread} % published. {published['source']}"
