"""Stoppers: rules that end the training of an architecture early, one file each."""

from darts.blackbox.stoppers.learning_curve import LearningCurve
from darts.blackbox.stoppers.median import Median
from darts.blackbox.stoppers.stopper import Stopper

STOPPERS: dict[str, Stopper] = {"median": Median(), "curve": LearningCurve()}
"""Name -> a stopper with its default options."""

__all__ = ["STOPPERS", "LearningCurve", "Median", "Stopper"]
