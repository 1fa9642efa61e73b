"""``darts.search``: search the choices of a network of your own, from your own script.

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

from collections.abc import Mapping
from collections.abc import Sequence as Several
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn
from torch.utils.data import ConcatDataset

from darts.api.own_run import Loss, fingerprints, first_batch, require_module, train_own
from darts.arguments import public, require_one
from darts.artifacts import fingerprint
from darts.artifacts.run_config import OWN
from darts.artifacts.run_folder import CHECKPOINTS
from darts.artifacts.user_folder import STUDY, run_folder_of
from darts.automatic.call_shape import CallShape
from darts.automatic.trials.sequence import Sequence
from darts.automatic.trials.trial_settings import TrialSettings, is_strategy
from darts.blackbox.strategies.strategy import Strategy
from darts.config import LogitsConfig, MethodConfig, RunConfig, SearchConfig, WeightsConfig, check, identity
from darts.data.dataset import DataSet
from darts.data.split import SplitSubset
from darts.data.user_data import UserSplit, divided, mixed_order, user_split
from darts.errors import UserError
from darts.methods.compose import compose
from darts.oneshot.builder import make_search
from darts.oneshot.stages import Setting
from darts.results import SearchResult, describe_own_run, write_search
from darts.training.device import choose_device
from darts.training.generators import global_generators_kept
from darts.training.objective import UserLoss, classification
from darts.training.seeding import SeededTask
from genotypes.types.choices import ChoicesGenotype
from supernet.layer_choice import GatedModel
from supernet.spaces.modules import ModuleSpace, refuse
from supernet.spaces.space import SpaceOptions


@public
def search(
    model: nn.Module | Sequence,
    data: Any,
    method: str | Strategy = "darts",
    loss: Loss | None = None,
    epochs: int = 20,
    batch_size: int = 64,
    weights: WeightsConfig | None = None,
    logits: LogitsConfig | None = None,
    train_share: float | None = None,
    validation_split: float | None = None,
    trials: int | None = None,
    patience: int | None = None,
    seed: int = 0,
    device: str = "auto",
    run: str | Path | None = None,
    verbose: bool = True,
    *,
    valid: Any = None,
    limits: str | None = None,
    start: str | Path | None = None,
    prior: Several[str | Path] = (),
) -> SearchResult:
    """Search the choices of a model.

    Args:
        model: contains ``LayerChoice``, ``InputChoice`` or ``ValueChoice``; it is copied, not changed. For a strategy
            without gradients, also a ``darts.Sequence`` of layers.
        data: a tuple of tensors or NumPy arrays, a data set, a ``DataLoader`` over one, or a list of batches. Examples
            are drawn in an order of the seed's; a loader's batch size, subset and ``drop_last`` are kept.
        method: one of ``darts.methods.METHODS``, or a Python file that defines one; or a strategy without gradients,
            which trains each architecture by itself: random, local_search, evolution, genetic, reinforce, with options
            as in ``"genetic:population=10"``, or an object such as ``darts.Genetic(population=10)``.
        loss: (network, batch) -> mean loss, a scalar; cross-entropy by default.
        epochs: passes over the part of the data that trains the weights.
        batch_size: examples of a step, where ``data`` is no loader with a batch size of its own.
        weights, logits: settings of the two optimizers; a strategy has no logits.
        train_share: share of the data that trains the weights; the rest trains the logits. A half, where not given. The
            data are shuffled before, class by class where their classes are known.
        validation_split: the same said by the rest: the share of the data that judges. A strategy holds out a fifth.
        trials: of a strategy, the number of architectures to try; 20, or two generations, where not given.
        patience: of a strategy, the epochs without improvement after which a training stops; None for never.
        seed: of the logits, the order of examples, the method's draws, and of what model, loss and data set draw from
            the global random generators.
        device: cpu, cuda, ...; auto takes a GPU where there is one.
        run: a folder for the genotype, the report, the log, the curves and the checkpoints, as the command line writes
            them; a search that was interrupted there is resumed, and ``darts.load(run, model)`` returns its result.
        verbose: whether to print a line for each epoch.
        valid: data of the same forms, that train the logits, or judge architectures; ``data`` then trains the weights.
        limits: largest allowed costs of the chosen network, as in ``"parameters=200k,multiply_adds=3M"``; also memory.
            A search by gradients returns the most probable architecture within them; a strategy trains no other.
        start: folder of another search by gradients, with whose weights the supernet starts where shapes agree.
        prior: folders of earlier searches of such a model, on any data: logits begin higher for what was found, a
            strategy begins with it.

    Raises:
        SpaceError, UserError: in one line, before anything is trained, where model, data or method cannot work, or
            where ``run`` is the folder of a search of another model, other data or other settings.
        KeyboardInterrupt: after Ctrl-C, when the state is saved.
    """
    require_one(valid=valid, validation_split=validation_split, train_share=train_share)
    if not isinstance(method, str) or is_strategy(method):
        why = "is of a search by gradients; `method` is a strategy without them"
        _refuse_unused({"logits": logits, "train_share": train_share, "start": start}, why)
        return _search_by_trials(
            model,
            data,
            method,
            loss,
            TrialSettings(
                epochs,
                batch_size,
                weights or WeightsConfig(lr_min=0.0),
                validation_split or 0.2,
                patience,
                seed,
                limits,
            ),
            valid=valid,
            trials=trials,
            prior=tuple(map(Path, prior)),
            device=device,
            run=run,
            verbose=verbose,
        )
    why = f"is for a strategy without gradients; `method` {method} trains one supernet"
    _refuse_unused({"trials": trials, "patience": patience}, why)
    require_module(model, "model")
    assert isinstance(model, nn.Module)
    config = SearchConfig(
        recipe=OWN,
        method=MethodConfig(method),
        weights=weights or WeightsConfig(),
        logits=logits or LogitsConfig(),
        epochs=epochs,
        batch_size=batch_size,
        train_share=train_share or (0.5 if validation_split is None else 1 - validation_split),
        limits=limits,
        start=None if start is None else Path(start),
        prior=tuple(map(Path, prior)),
        seed=seed,
        run=RunConfig(device=device, resume=run is not None),
    )
    check(config)
    chosen = choose_device(config.run)
    examples = user_split(data, chosen)
    judging = None if valid is None else user_split(valid, chosen)
    config = replace(config, batch_size=examples.batch_size or batch_size)
    check(config)
    composed = compose(config)
    objective = UserLoss(loss) if loss else classification

    def make(options: SpaceOptions) -> ModuleSpace:
        refuse(options)
        return ModuleSpace(model, options.allowed)

    with global_generators_kept(chosen):
        batch, shape = first_batch(examples, config.batch_size, objective), CallShape()
        make(SpaceOptions(None)).check(lambda candidate: objective(shape.of_call(candidate.to(chosen)), batch))
        mixed = _mixed(examples, judging, seed)
        data_set = DataSet(OWN, None, mixed, mixed, valid=len(judging or ()))
        task = make_search(config, data_set, chosen, method=composed, setting=Setting(shape, make, objective))
        made_with = {**identity(config), **fingerprints(model, loss, data=examples, valid=judging)}
        with run_folder_of(run, CHECKPOINTS) as folder:
            train_own(
                SeededTask(task, seed),
                "search",
                config,
                folder,
                made_with,
                device=chosen,
                started=task.started,
                verbose=verbose,
            )
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
    valid: Any,
    trials: int | None,
    prior: tuple[Path, ...],
    device: str,
    run: str | Path | None,
    verbose: bool,
) -> SearchResult:
    """Search by a strategy without gradients; arguments as of ``search``."""
    from darts.automatic.trials.model_search import search_by_trials  # imports Optuna, which no other search needs

    if not is_strategy(strategy):
        raise UserError(f"`method` is a {type(strategy).__name__}; it must be a name, or a strategy such as Genetic()")
    if not isinstance(model, Sequence):
        require_module(model, "model")
    config = SearchConfig(
        recipe=OWN,
        weights=settings.weights,
        limits=settings.limits,
        prior=prior,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        seed=settings.seed,
        run=RunConfig(device=device),
    )
    check(config)
    chosen = choose_device(RunConfig(device=device))
    examples, objective = user_split(data, chosen), UserLoss(loss) if loss else classification
    parts = divided(examples, settings.valid, settings.seed) if valid is None else (examples, user_split(valid, chosen))
    with global_generators_kept(chosen), run_folder_of(run, STUDY) as folder:
        first_batch(examples, settings.batch_size, objective)
        found = search_by_trials(
            model,
            parts,
            strategy,
            objective,
            settings,
            trials=trials,
            prior=prior,
            folder=folder,
            device=chosen,
            made_with={
                "loss": fingerprint.of_loss(loss),
                "data": fingerprint.of_data(examples.items),
                "valid": None if valid is None else fingerprint.of_data(parts[1].items),
            },
            console=Console(soft_wrap=True, quiet=not verbose, markup=False, emoji=False),
            begun=partial(describe_own_run, folder, "search", config, chosen) if run else lambda: None,
        )
    return SearchResult(found.genotype, found.figures, found.space, None, found.weights)


def _refuse_unused(given: Mapping[str, Any], why: str) -> None:
    """Refuse the first argument that would have no effect."""
    for name, value in given.items():
        if value is not None:
            raise UserError(f"`{name}` {why}: leave it out")


def _mixed(examples: UserSplit, valid: UserSplit | None, seed: int) -> SplitSubset:
    """Return the examples in random order; those of ``valid``, where it is given, follow.

    Raises:
        UserError: where both are made of other batches.
    """
    order = mixed_order(examples, seed)
    if valid is None:
        return SplitSubset(examples, order)
    if (examples.collate, examples.batch_size) != (valid.collate, valid.batch_size):
        raise UserError("`valid` must be of the same form as `data`: tensors beside tensors, a loader beside a loader")
    both: list[Any] = [examples.items, valid.items]  # lists of batches, too
    items: Any = ConcatDataset(both)
    return SplitSubset(replace(examples, items=items), torch.cat([order, len(order) + torch.arange(len(valid))]))
