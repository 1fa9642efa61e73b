"""Seeding of the global random generators, for models and losses of a user's own: Dropout and the like draw from them.

Each step is seeded by the run's seed and its position, so that a run that is resumed draws what one that was never
interrupted draws. The project's own networks draw from generators that are passed to them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from darts.training.evaluate import ReportProgress
from darts.training.task import Task

EVALUATION = 2**31
"""Stands in the place of a step for what an evaluation draws."""


class SeededTask:
    """A task whose steps find the global generators of PyTorch, NumPy and Python seeded.

    Args:
        task: whose steps are seeded.
        seed: of the run.
    """

    def __init__(self, task: Task, seed: int):
        self.task, self.seed = task, seed
        self.kind, self.evaluation_steps = task.kind, task.evaluation_steps
        self._at = (0, 0)

    @property
    def epochs(self) -> int:
        """Number of epochs of the task."""
        return self.task.epochs

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps of an epoch."""
        return self.task.steps_per_epoch

    @property
    def attempt(self) -> int:
        """Number of rollbacks."""
        return self.task.attempt

    @attempt.setter
    def attempt(self, attempt: int) -> None:
        self.task.attempt = attempt

    def begin_epoch(self, epoch: int, step: int) -> None:
        self._at = epoch, step
        self._seed(step)
        self.task.begin_epoch(epoch, step)

    def step(self) -> Mapping[str, Tensor]:
        epoch, step = self._at
        self._seed(step)
        self._at = epoch, step + 1
        return self.task.step()

    def end_epoch(self, epoch: int, report: ReportProgress) -> dict[str, Any]:
        self._seed(EVALUATION)
        return self.task.end_epoch(epoch, report)

    def replicas(self) -> Mapping[str, Tensor]:
        return self.task.replicas()

    def state(self) -> dict[str, Any]:
        return self.task.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.task.load_state(state)

    def _seed(self, step: int) -> None:
        first, second = np.random.SeedSequence((self.seed, self.attempt, self._at[0], step)).generate_state(2).tolist()
        torch.manual_seed(first + 2**32 * second)
        np.random.seed(first)
        random.seed(first)
