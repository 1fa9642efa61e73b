"""Canvases of digits: how pictures with several objects are composed, whose masks and boxes are exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from darts.config.ranges import NOT_NEGATIVE, POSITIVE, SEED, at_most


@dataclass(frozen=True)
class CanvasConfig:
    """The composition of the canvases."""

    size: Annotated[int, POSITIVE, at_most(4096)] = 24
    """Side of a canvas, in pixels."""
    objects: Annotated[int, POSITIVE, at_most(255)] = 3
    """Largest number of digits on a canvas; each test canvas has one at least."""
    full: bool = False
    """Put the largest number of digits on every training canvas: as many canvases then teach more."""
    smallest: Annotated[int, POSITIVE, at_most(4096)] = 11
    """Side that the smallest digits are resized to, in pixels."""
    largest: Annotated[int, POSITIVE, at_most(4096)] = 15
    """Side that the largest digits are resized to, in pixels."""
    rotation: Annotated[float, NOT_NEGATIVE, at_most(180)] = 0.0
    """Largest angle by which the digits of training canvases are rotated, in degrees: an augmentation."""
    train: Annotated[int, POSITIVE, at_most(1_000_000)] = 3000
    """Number of training canvases, made of training digits."""
    test: Annotated[int, POSITIVE, at_most(1_000_000)] = 300
    """Number of test canvases, made of test digits."""
    seed: Annotated[int, SEED] = 0
    """Seed of the composition, apart from the run's: runs of several seeds have the same canvases."""
