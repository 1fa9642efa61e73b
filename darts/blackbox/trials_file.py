"""``trials.json``: all trials of a study, for reports and other programs; written anew while a search runs."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.study import Study

from darts.blackbox.evaluation import Listener
from darts.blackbox.ledger import Ledger
from darts.blackbox.records import INFEASIBLE, is_paused
from genotypes.atomic_write import write_atomically

FILE = "trials.json"
SECONDS = 10.0
"""Shortest time between two writings while a search runs."""


def write_trials(study: Study, folder: Path) -> None:
    """Write the trials of a study."""
    write_atomically(folder / FILE, (json.dumps(list(_rows(study)), indent=2) + "\n").encode())


def written_too(listener: Listener, study: Study, folder: Path, seconds: float = SECONDS) -> Listener:
    """Return a listener that also writes the trials, at most every ``seconds``."""
    last = -math.inf

    def report(number: int, ledger: Ledger) -> None:
        nonlocal last
        listener.report(number, ledger)
        if time.monotonic() - last >= seconds:
            write_trials(study, folder)
            last = time.monotonic()

    return replace(listener, report=report)


def _rows(study: Study) -> Iterator[dict[str, Any]]:
    """Yield the trials as the file has them."""
    for trial in study.get_trials(deepcopy=False):
        known = dict(trial.user_attrs)
        value = trial.values[0] if trial.values and math.isfinite(trial.values[0]) else None
        state = INFEASIBLE if INFEASIBLE in known else "paused" if is_paused(trial) else trial.state.name.lower()
        yield {"trial": trial.number + 1, "state": state, "value": value, "params": trial.params, **known}
