"""Median stopping: a trial whose best value is below the median of the others' averages (Golovin et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from darts.blackbox.schedulers.scheduler import Record
from darts.config.ranges import require


@dataclass(frozen=True)
class Median:
    """Stop a trial whose best value so far is less than the median of the running averages of other trials.

    The running average of a trial is the mean of its values up to the same epoch; trials that have not reached it do
    not count. ``trials`` is the least number of such trials; no trial is stopped in its first ``epochs``.
    """

    trials: int = 5
    epochs: int = 1

    def __post_init__(self) -> None:
        require(self, from_1=("trials",), from_0=("epochs",))

    def reason(self, trial: Record, others: Sequence[Record], epochs: int) -> str | None:
        """Return why a trial should be stopped; None where it should continue."""
        now = max(trial.results)
        averages = [fmean(_until(other.results, now)) for other in others if now in other.results]
        if now <= self.epochs or len(averages) < self.trials:
            return None
        best, middle = max(trial.results.values()), median(averages)
        if best >= middle:
            return None
        return f"stopped after {now} epochs: {best:.4f} is less than the median {middle:.4f} of {len(averages)} trials"


def _until(results: Mapping[int, float], epoch: int) -> list[float]:
    return [value for each, value in results.items() if each <= epoch]
