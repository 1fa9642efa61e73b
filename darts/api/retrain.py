"""``darts.retrain``: train a network of your own, such as ``result.network()``.

darts.retrain(network, data)
darts.retrain(network, data, validation_split=0.1, patience=5)            # early stopping, the best epoch's weights
darts.retrain(network, data, start="runs/other", freeze=["started"])      # fine-tuning
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from darts.api.own_run import Loss, fingerprints, first_batch, require_module, train_own
from darts.arguments import public, require_one
from darts.artifacts import fingerprint
from darts.artifacts.log import read_log
from darts.artifacts.run_config import OWN
from darts.artifacts.run_folder import CHECKPOINTS
from darts.artifacts.user_folder import run_folder_of
from darts.automatic.trials.epochs import run_once
from darts.config import RunConfig, SearchConfig, WeightsConfig, check
from darts.data.user_data import divided, user_split
from darts.errors import UserError
from darts.results import genotype_of, write_training
from darts.retraining.network_task import NetworkTask
from darts.retraining.start import Frozen, begin_with
from darts.training.device import choose_device
from darts.training.generators import global_generators_kept
from darts.training.objective import UserLoss, classification
from darts.training.seeding import SeededTask

NOT_FIGURES = ("event", "epoch", "step", "seconds", "usage")
"""Entries of a line of the log that are no results."""


@public
def retrain(
    network: nn.Module,
    data: Any,
    test: Any = None,
    loss: Loss | None = None,
    epochs: int = 20,
    batch_size: int = 64,
    weights: WeightsConfig | None = None,
    seed: int = 0,
    device: str = "auto",
    run: str | Path | None = None,
    verbose: bool = True,
    *,
    valid: Any = None,
    validation_split: float | None = None,
    patience: int | None = None,
    start: str | Path | None = None,
    freeze: Sequence[str] = (),
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
) -> dict[str, float]:
    """Train a network, such as ``result.network()``, in place.

    With ``run``, the trained weights are also written there, to ``weights.pt``, and ``darts.load(run, network)``
    returns the network with them.

    Args:
        network: any module; it is moved to the device and trained.
        data: as of ``search``.
        test: data of the same forms, to evaluate on after each epoch; nothing is selected by it.
        loss: as of ``search``.
        epochs: passes over the data.
        weights: settings of SGD.
        batch_size, seed, device, run, verbose: as of ``search``.
        valid: data of the same forms, to select the best epoch by: the network ends with its weights.
        validation_split: share of ``data`` that is held out for this, where there is no ``valid``.
        patience: epochs without a better validation accuracy (or loss, where there is no accuracy) after which the
            training stops; None for never.
        start: folder of another run, with whose weights the network starts, layer by layer where shapes agree.
        freeze: layers that do not train, by the beginnings of their names; ``"started"`` for all that started.
        optimizer: the parameters to train -> an optimizer, in place of SGD; its learning rate stays, and gradients are
            not clipped.

    Returns:
        Figures of the last epoch, or of the best one, by name: ``train_loss`` and what else is counted; ``valid_loss``
        and ``test_loss`` and so on where there are such data; ``kept_epoch`` where one was selected.

    Raises:
        UserError: as ``search``; where a run or a layer's name cannot be used.
        KeyboardInterrupt: after Ctrl-C, when the state is saved.
    """
    require_module(network, "network")
    require_one(weights=weights, optimizer=optimizer)
    require_one(valid=valid, validation_split=validation_split)
    config = SearchConfig(
        recipe=OWN,
        weights=weights or WeightsConfig(lr_min=0.0),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        run=RunConfig(device=device, resume=run is not None),
    )
    check(config)
    chosen = choose_device(config.run)
    examples, tests = user_split(data, chosen), None if test is None else user_split(test, chosen)
    train_part, judging = examples, None if valid is None else user_split(valid, chosen)
    if validation_split is not None:
        train_part, judging = divided(examples, validation_split, seed)
    if patience is not None and judging is None:
        raise UserError(
            f"`patience` is {patience}, but there is no validation part: give `valid` or `validation_split`"
        )
    objective = UserLoss(loss) if loss else classification
    with global_generators_kept(chosen):
        batch = first_batch(examples, batch_size, objective)
        network.to(chosen)
        if any(map(is_lazy, network.parameters())):
            run_once(network, batch, objective, "the network")
        started = begin_with(network, None if start is None else Path(start))
        frozen = Frozen(network, tuple(freeze), started)
        trained = [weight for weight in network.parameters() if weight.requires_grad]
        task = NetworkTask(
            network,
            train_part,
            valid=judging,
            test=tests,
            objective=objective,
            weights=config.weights,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            patience=patience,
            optimizer=None if optimizer is None else optimizer(trained),
            frozen=frozen,
        )
        made_with = {
            "epochs": epochs,
            "seed": seed,
            "batch_size": task.batch_size,
            "patience": patience,
            "validation_split": validation_split,
            "start": None if start is None else str(start),
            "freeze": list(freeze),
            "optimizer": None if optimizer is None else fingerprint.of_loss(optimizer),
            **{f"weights.{name}": value for name, value in asdict(config.weights).items()},
            **fingerprints(network, loss, data=examples, test=tests, valid=judging if valid is not None else None),
        }
        with run_folder_of(run, CHECKPOINTS) as folder:
            train_own(
                SeededTask(task, seed),
                "retrain",
                config,
                folder,
                made_with,
                device=chosen,
                started=started,
                verbose=verbose,
            )
            lines = [line for line in read_log(folder) if line.get("event") == "epoch"]
            kept = task.keep_best()
            chosen_lines = lines[kept - 1 : kept] if kept else lines[-1:]
            logged = {name: value for line in chosen_lines for name, value in line.items() if name not in NOT_FIGURES}
            figures = {**logged, **task.tested, **({"kept_epoch": kept} if kept else {})}
            if run:
                write_training(task.network, genotype_of(network), figures, folder)
    return figures
