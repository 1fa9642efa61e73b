"""Before a search: the memory that retraining its result will take, measured before hours are spent."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from darts.config import RetrainConfig
from darts.oneshot.task import SearchTask
from darts.retraining.task import RetrainTask
from darts.training.memory_planner import rehearse


def prepare_retraining(search: SearchTask, final: RetrainConfig, console: Console) -> None:
    """Rehearse the retraining of the largest genotype that the search can derive.

    Nothing is rehearsed where the space does not know its largest genotype.

    Args:
        final: the configuration of the retraining; it runs where the search runs.
    """
    largest = search.space.largest
    if largest is None:
        return
    device = search.problem.generator.device
    task = RetrainTask(replace(final, run=search.config.run), largest, search.data, device, search.ranks)
    rehearse(task, batch_size=final.batch_size, device=device, limit=None, console=console)
