"""A check of hypergradients by central differences, every few epochs of a search.

Between the two points of a difference lie kinks of the loss, where a ReLU or a max pooling switches. In a small network
they may be nearer than the difference's step, which then measures something else than a second derivative.
"""

from __future__ import annotations

from typing import Any

from darts.bilevel.hypergradients import FiniteDifference, Hypergradient, difference_error
from darts.oneshot.context import SearchContext

EVERY = 5
"""Epochs between two checks."""

TOLERANCE = 0.5
"""Error, relative to what the hypergradient adds to the first order, above which the search warns."""


def check_differences(step: Hypergradient, context: SearchContext, epoch: int) -> dict[str, Any]:
    """Return the error of the step's differences, and a warning where it is large; nothing where there is no check.

    Steps without differences and runs of several processes are not checked. Nothing of the search changes: the batches
    are the first of each part, without augmentation.

    Args:
        step: the logits' gradient.
        context: of the search.
        epoch: counted from 0.
    """
    last = epoch + 1 == context.epochs
    single = context.partition.ranks.count == 1
    if not (isinstance(step, FiniteDifference) and single and (epoch % EVERY == 0 or last)):
        return {}
    train, valid = context.first_batches()
    error = difference_error(step, context.problem, train, valid)
    figures: dict[str, Any] = {"difference_error": error}
    if error > TOLERANCE:
        figures["warning"] = (
            f"finite differences of radius {step.radius:g} are off by {100 * error:.0f} % of what they add to the "
            f"first order: set a smaller radius in `method.step`, such as radius={step.radius / 10:g}"
        )
    return figures
