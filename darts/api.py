"""Searching in a network of your own, from your own script: ``darts.search`` and ``darts.retrain``.

    class Net(nn.Module):
        def __init__(self):
            ...
            self.conv = LayerChoice({"3x3": Conv(3), "5x5": Conv(5)}, label="kernel")

    result = darts.search(Net(), loader, method="darts")
    network = result.network()
    darts.retrain(network, loader)

Any loss can be minimized: ``loss(network, batch)`` returns the mean loss of a batch, where ``network`` is called as the
model is. Without one, batches are ``(inputs, labels)`` and the loss is the cross-entropy.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from darts.arguments import in_arguments
from darts.artifacts import fingerprint
from darts.artifacts.log import read_log
from darts.artifacts.run_config import OWN
from darts.artifacts.user_folder import run_folder_of
from darts.automatic.trials.sequence import Sequence
from darts.automatic.trials.trial_settings import TrialSettings, is_strategy
from darts.blackbox.strategies.strategy import Strategy
from darts.config import LogitsConfig, MethodConfig, RunConfig, SearchConfig, WeightsConfig, check, identity
from darts.data.dataset import DataSet
from darts.data.split import SplitSubset
from darts.data.user_data import UserSplit, mixed_order, user_split
from darts.errors import UserError
from darts.methods.compose import compose
from darts.oneshot.builder import make_search
from darts.oneshot.stages import Setting
from darts.results import SearchResult, describe_own_run, genotype_of, write_search, write_training
from darts.retraining.network_task import NetworkTask
from darts.training.device import choose_device
from darts.training.generators import global_generators_kept
from darts.training.loop import Interrupted, train
from darts.training.objective import Objective, UserLoss, classification
from darts.training.seeding import SeededTask
from darts.training.task import Task
from genotypes.types.choices import ChoicesGenotype
from supernet.layer_choice import GatedModel
from supernet.spaces.modules import ModuleSpace, refuse
from supernet.spaces.space import SpaceOptions

Loss = Callable[[Callable[..., Any], Any], Tensor]

NOT_FIGURES = ("event", "epoch", "step", "seconds", "usage")
"""Entries of a line of the log that are no results."""


@in_arguments()
def search(
    model: nn.Module | Sequence,
    data: Any,
    method: str | Strategy = "darts",
    loss: Loss | None = None,
    epochs: int = 20,
    batch_size: int = 64,
    weights: WeightsConfig | None = None,
    logits: LogitsConfig | None = None,
    train_share: float = 0.5,
    validation_split: float | None = None,
    trials: int | None = None,
    patience: int | None = None,
    seed: int = 0,
    device: str = "auto",
    run: str | Path | None = None,
    verbose: bool = True,
) -> SearchResult:
    """Search the choices of a model.

    Args:
        model: contains ``LayerChoice`` and ``InputChoice``; it is copied, not changed. For a strategy without
            gradients, also a ``darts.Sequence`` of layers.
        data: a tuple of tensors or NumPy arrays, a data set, a ``DataLoader`` over one, or a list of batches. Examples
            are drawn in an order of the seed's; a loader's batch size, subset and ``drop_last`` are kept.
        method: one of ``darts.methods.METHODS``, or a Python file that defines one; or a strategy without gradients,
            which trains each architecture by itself: random, local_search, evolution, genetic, reinforce, with options
            as in ``"genetic:population=10"``, or an object such as ``darts.Genetic(population=10)``.
        loss: (network, batch) -> mean loss, a scalar; cross-entropy by default.
        epochs: passes over the part of the data that trains the weights.
        batch_size: examples of a step, where ``data`` is no loader with a batch size of its own.
        weights, logits: settings of the two optimizers.
        train_share: share of the data that trains the weights; the rest trains the logits. The data are shuffled
            before, class by class where their classes are known.
        validation_split: the same said by the rest: the share of the data that judges. A strategy holds out a fifth.
        trials: of a strategy, the number of architectures to try; 20, or two generations, where not given.
        patience: of a strategy, the epochs without improvement after which a training stops; None for never.
        seed: of the logits, the order of examples, the method's draws, and of what model, loss and data set draw from
            the global random generators.
        device: cpu, cuda, ...; auto takes a GPU where there is one.
        run: a folder for the genotype, the report, the log, the curves and the checkpoints, as the command line writes
            them; a search that was interrupted there is resumed, and ``darts.load(run, model)`` returns its result.
        verbose: whether to print a line for each epoch.

    Raises:
        SpaceError, UserError: in one line, before anything is trained, where model, data or method cannot work, or
            where ``run`` is the folder of a search of another model, other data or other settings.
        KeyboardInterrupt: after Ctrl-C, when the state is saved.
    """
    if validation_split is not None and not 0 < validation_split < 1:
        raise UserError(f"`validation_split` is {validation_split}; it must be more than 0 and less than 1")
    if not isinstance(method, str) or is_strategy(method):
        return _search_by_trials(
            model,
            data,
            method,
            loss,
            TrialSettings(
                epochs, batch_size, weights or WeightsConfig(lr_min=0.0), validation_split or 0.2, patience, seed
            ),
            trials=trials,
            device=device,
            run=run,
            verbose=verbose,
        )
    for name, given in (("trials", trials), ("patience", patience)):
        if given is not None:
            raise UserError(f"`{name}` is for a strategy without gradients; `method` {method} trains one supernet")
    if validation_split is not None:
        train_share = 1 - validation_split
    _require_module(model, "model")
    assert isinstance(model, nn.Module)
    config = SearchConfig(
        recipe=OWN,
        method=MethodConfig(str(method)),
        weights=weights or WeightsConfig(),
        logits=logits or LogitsConfig(),
        epochs=epochs,
        batch_size=batch_size,
        train_share=train_share,
        seed=seed,
        run=RunConfig(device=device, resume=run is not None),
    )
    chosen = choose_device(config.run)
    examples = user_split(data, chosen)
    config = replace(config, batch_size=examples.batch_size or batch_size)
    check(config)
    composed = compose(config)
    objective = UserLoss(loss) if loss else classification

    def make(options: SpaceOptions) -> ModuleSpace:
        refuse(options)
        return ModuleSpace(model, options.allowed)

    with global_generators_kept(chosen):
        batch = _first_batch(examples, config.batch_size, objective)
        make(SpaceOptions(None)).check(lambda candidate: objective(candidate.to(chosen), batch))
        mixed = SplitSubset(examples, mixed_order(examples, seed))
        data_set = DataSet(OWN, None, mixed, mixed)
        task = make_search(config, data_set, chosen, method=composed, setting=Setting(None, make, objective))
        made_with = {**identity(config), **_fingerprints(model, loss, data=examples)}
        with run_folder_of(run) as folder:
            begun = partial(describe_own_run, folder, "search", config, chosen) if run else _nothing
            _train(SeededTask(task, seed), config.run, folder, made_with, verbose, begun)
            if run:
                write_search(task, folder)
    supernet, genotype = task.problem.supernet.eval(), task.result()
    assert isinstance(genotype, ChoicesGenotype) and isinstance(supernet, GatedModel)
    return SearchResult(genotype, task.evaluated, ModuleSpace(model), supernet)


def _search_by_trials(
    model: nn.Module | Sequence,
    data: Any,
    strategy: Any,
    loss: Loss | None,
    settings: TrialSettings,
    *,
    trials: int | None,
    device: str,
    run: str | Path | None,
    verbose: bool,
) -> SearchResult:
    """Search by a strategy without gradients; arguments as of ``search``."""
    from darts.automatic.trials.model_search import search_by_trials  # imports Optuna, which no other search needs

    if not is_strategy(strategy):
        raise UserError(f"`method` is a {type(strategy).__name__}; it must be a name, or a strategy such as Genetic()")
    if not isinstance(model, Sequence):
        _require_module(model, "model")
    config = SearchConfig(
        recipe=OWN,
        weights=settings.weights,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        seed=settings.seed,
        run=RunConfig(device=device),
    )
    check(config)
    if trials is not None and (not isinstance(trials, int) or trials < 1):
        raise UserError(f"`trials` is {trials}; it must be a whole number from 1")
    chosen = choose_device(RunConfig(device=device))
    examples, objective = user_split(data, chosen), UserLoss(loss) if loss else classification
    with global_generators_kept(chosen), run_folder_of(run) as folder:
        _first_batch(examples, settings.batch_size, objective)
        found = search_by_trials(
            model,
            examples,
            strategy,
            objective,
            settings,
            trials=trials,
            folder=folder,
            device=chosen,
            loss=fingerprint.of_loss(loss),
            console=Console(soft_wrap=True, quiet=not verbose),
            begun=partial(describe_own_run, folder, "search", config, chosen) if run else _nothing,
        )
    return SearchResult(found.genotype, found.figures, found.space, None, found.weights)


@in_arguments()
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

    Returns:
        Means of the last epoch, by name: ``train_loss`` and what else is counted; ``test_loss`` and so on where there
        is a test set.

    Raises:
        UserError: as ``search``.
        KeyboardInterrupt: after Ctrl-C, when the state is saved.
    """
    _require_module(network, "network")
    weights = weights or WeightsConfig(lr_min=0.0)
    config = SearchConfig(recipe=OWN, weights=weights, epochs=epochs, batch_size=batch_size, seed=seed)
    check(config)
    settings = RunConfig(device=device, resume=run is not None)
    chosen = choose_device(settings)
    examples, tests = user_split(data, chosen), None if test is None else user_split(test, chosen)
    objective = UserLoss(loss) if loss else classification
    with global_generators_kept(chosen):
        _first_batch(examples, batch_size, objective)
        task = NetworkTask(
            network.to(chosen),
            examples,
            test=tests,
            objective=objective,
            weights=weights,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
        )
        made_with = {
            "epochs": epochs,
            "seed": seed,
            "batch_size": task.batch_size,
            **{f"weights.{name}": value for name, value in asdict(weights).items()},
            **_fingerprints(network, loss, data=examples, test=tests),
        }
        with run_folder_of(run) as folder:
            begun = (
                partial(describe_own_run, folder, "retrain", replace(config, run=settings), chosen) if run else _nothing
            )
            _train(SeededTask(task, seed), settings, folder, made_with, verbose, begun)
            last = [line for line in read_log(folder) if line.get("event") == "epoch"][-1:]
            logged = {name: value for line in last for name, value in line.items() if name not in NOT_FIGURES}
            figures = {**logged, **task.tested}
            if run:
                write_training(task.network, genotype_of(network), figures, folder)
    return figures


def _require_module(model: Any, argument: str) -> None:
    if not isinstance(model, nn.Module):
        raise UserError(f"`{argument}` is a {type(model).__name__}; it must be a torch.nn.Module")


def _first_batch(examples: UserSplit, size: int, objective: Objective) -> Any:
    """Return the first batch of the data, checked where it is to be classified."""
    count = min(len(examples), examples.batch_size or size)
    batch = next(examples.batches(torch.arange(count), count, training=False))
    if objective is classification:
        classification.check(batch)
    return batch


def _fingerprints(model: nn.Module, loss: Loss | None, **splits: UserSplit | None) -> dict[str, str | None]:
    """Return what identifies a user's model, loss and data, as a checkpoint stores it."""
    data = {name: None if split is None else fingerprint.of_data(split.items) for name, split in splits.items()}
    return {"model": fingerprint.of_model(model), "loss": fingerprint.of_loss(loss), **data}


def _train(
    task: Task, run: RunConfig, folder: Path, made_with: Mapping[str, Any], verbose: bool, begun: Callable[[], None]
) -> None:
    """Train; a signal is raised as Python raises it."""
    try:
        train(task, run, folder, made_with, Console(soft_wrap=True, quiet=not verbose), begun=begun)
    except Interrupted as stopped:
        if stopped.code == 128 + signal.SIGINT:
            where = str(stopped).partition(" Resume with:")[0]
            raise KeyboardInterrupt(f"{where} Call again with the same `run` to continue") from None
        raise SystemExit(stopped.code) from None


def _nothing() -> None:
    """Write nothing: the run has no folder of its own."""
