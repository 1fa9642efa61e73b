"""The schedulers of trials: which architectures are trained further, one file each kind."""

from darts.blackbox.schedulers.asha import ASHA
from darts.blackbox.schedulers.halving import BOHB, Hyperband, SuccessiveHalving
from darts.blackbox.schedulers.scheduler import Schedule, Scheduler, WholeTrainings
from darts.config.blackbox import BlackboxConfig
from darts.methods.compose import component

SCHEDULERS: dict[str, Scheduler] = {
    "none": WholeTrainings(),
    "halving": SuccessiveHalving(),
    "hyperband": Hyperband(),
    "asha": ASHA(),
    "bohb": BOHB(),
}
"""Name -> a scheduler with its default options."""


def scheduler_of(config: BlackboxConfig) -> Scheduler:
    """Return the configuration's scheduler.

    Raises:
        UserError: where there is no such scheduler or option.
    """
    return component("`scheduler`", SCHEDULERS, config.scheduler)


__all__ = [
    "ASHA",
    "BOHB",
    "SCHEDULERS",
    "Hyperband",
    "Schedule",
    "Scheduler",
    "SuccessiveHalving",
    "WholeTrainings",
    "scheduler_of",
]
