"""What ``darts.search`` and ``darts.retrain`` share: the check of the first batch, fingerprints, the training loop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from torch import Tensor, nn

from darts.artifacts import fingerprint
from darts.config import SearchConfig
from darts.data.objective import Objective
from darts.data.user_data import UserSplit
from darts.errors import UserError
from darts.results import describe_own_run
from darts.retraining.start import Start
from darts.training.loop import Interrupted, train
from darts.training.objective import classification
from darts.training.task import Task

Loss = Callable[[Callable[..., Any], Any], Tensor]
"""(network, batch) -> mean loss of the batch, where ``network`` is called as the model is."""


def require_module(model: Any, argument: str) -> None:
    """Refuse what is no module.

    Raises:
        UserError: naming the argument.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"`{argument}` is a {type(model).__name__}; it must be a torch.nn.Module")


def first_batch(examples: UserSplit, size: int, objective: Objective) -> Any:
    """Return the first batch of the data, checked where it is to be classified.

    Raises:
        UserError: where it cannot be.
    """
    count = min(len(examples), examples.batch_size or size)
    batch = next(examples.batches(torch.arange(count), count, training=False))
    if objective is classification:
        classification.check(batch)
    return batch


def fingerprints(model: nn.Module, loss: Loss | None, **splits: UserSplit | None) -> dict[str, str | None]:
    """Return what identifies a user's model, loss and data, as a checkpoint stores it."""
    data = {name: None if split is None else fingerprint.of_data(split.items) for name, split in splits.items()}
    return {"model": fingerprint.of_model(model), "loss": fingerprint.of_loss(loss), **data}


def train_own(
    task: Task,
    kind: Literal["search", "retrain"],
    config: SearchConfig,
    folder: Path,
    made_with: Mapping[str, Any],
    *,
    device: torch.device,
    started: Start,
    verbose: bool,
) -> None:
    """Train a task in a folder; a signal is raised as Python raises it.

    Args:
        config: of the run; where it resumes, the folder is a user's, which gets ``config.json``.
        made_with: identifies the results.
        started: which layers another run's weights have started.
    """
    console = Console(soft_wrap=True, quiet=not verbose, markup=False, emoji=False)
    for line in started.lines():
        console.print(line, highlight=False, markup=False)

    def begun() -> None:
        if config.run.resume:
            describe_own_run(folder, kind, config, device)
            started.write(folder)

    try:
        train(task, config.run, folder, made_with, console, begun=begun)
    except Interrupted as stopped:
        if stopped.code == 128 + signal.SIGINT:
            where = str(stopped).partition(" Resume with:")[0]
            raise KeyboardInterrupt(f"{where} Call again with the same `run` to continue") from None
        raise SystemExit(stopped.code) from None
