"""The results of ``darts.search`` and ``darts.retrain``: in memory, in a run's folder, and loaded from there again."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from darts.artifacts import checkpoint, fingerprint
from darts.artifacts.run_config import OWN, describe_run
from darts.artifacts.run_folder import CHECKPOINTS, read_config, read_object
from darts.artifacts.tensorboard import write_results
from darts.automatic.trials.sequence import SequenceSpace
from darts.config import SearchConfig, to_dict
from darts.errors import UserError
from darts.oneshot.task import SearchTask
from darts.report.page import write_report
from darts.training.run_checkpoints import STATE_ERRORS
from genotypes import Genotype, describe, picture, schema_from, write
from genotypes import load as load_genotype
from genotypes.atomic_write import write_atomically
from genotypes.errors import last_line
from genotypes.types.choices import ChoicesGenotype
from supernet.layer_choice import GatedModel, choices
from supernet.spaces.modules import ModuleSpace

WEIGHTS = "weights.pt"

DERIVED = "derived_genotype"
"""Attribute of a network that was derived from a model with choices: its genotype."""

SEARCH_ONLY = ("method", "logits", "benchmark", "collapse", "collapse_skips", "collapse_growth", "eigenvalue_every",
               "rerank", "rerank_epochs", "drop_path", "order", "train_share", "valid_share")  # fmt: skip
"""Fields of a search's configuration that a retraining has not."""


@dataclass(frozen=True)
class SearchResult:
    """The result of a search in a model.

    Attributes:
        genotype: label -> names of the chosen candidates; ``genotypes.write`` makes a JSON file of it.
        figures: validation loss of the last epoch, and what else was counted.
        space: the search space of the model.
        supernet: with its trained weights; None after a search by trials, which has none.
        weights: of the best network after a search by trials.
    """

    genotype: ChoicesGenotype
    figures: Mapping[str, float]
    space: ModuleSpace | SequenceSpace
    supernet: GatedModel | None
    weights: Mapping[str, Tensor] | None = None

    def network(self, inherit: bool = False) -> nn.Module:
        """Return the chosen network, a plain module without choices.

        Args:
            inherit: whether it starts from the searched weights; else from those that the model had before.
        """
        network = self.space.network(self.genotype, searched=inherit)
        if inherit and self.supernet is not None and isinstance(self.space, ModuleSpace):
            self.space.inherit(network, self.supernet, self.genotype)
        elif inherit and self.weights is not None:
            network.load_state_dict(self.weights)
        setattr(network, DERIVED, self.genotype)
        return network


def genotype_of(network: nn.Module) -> ChoicesGenotype | None:
    """Return the genotype that ``SearchResult.network`` derived a network from; None for any other network."""
    found = vars(network).get(DERIVED)
    return found if isinstance(found, ChoicesGenotype) else None


def describe_own_run(
    folder: Path, kind: Literal["search", "retrain"], config: SearchConfig, device: torch.device
) -> None:
    """Write the ``config.json`` of a run with a user's model and data."""
    content = to_dict(replace(config, run=replace(config.run, name=folder.name, resume=False)))
    del content["space"]
    for name in SEARCH_ONLY if kind == "retrain" else ():
        content.pop(name)
    describe_run(folder, kind, {**content, "recipe": OWN, "data": {"name": OWN}}, device)


def write_search(task: SearchTask, folder: Path) -> None:
    """Write the files of a finished search, as ``train_search.py`` does."""
    task.write(folder, folder.name)
    write_results(folder)
    write_report(folder)


def write_training(network: nn.Module, genotype: Genotype | None, figures: Mapping[str, Any], folder: Path) -> None:
    """Write the files of a finished training, as ``train_final.py`` does: weights, figures, report, and the genotype
    where the network was derived from one."""
    known: dict[str, Any] = {"parameters": sum(p.numel() for p in network.parameters()), "data": OWN}
    if genotype is not None:
        known |= {"genotype": describe(genotype), "genotype_hash": genotype.hash}
        write_atomically(folder / "genotype.json", write(genotype, extra=schema_from(folder)).encode())
        write_atomically(folder / "cells.svg", picture(genotype).encode())
    checkpoint.save(folder / WEIGHTS, {"kind": "weights", "network": network.state_dict()})
    write_atomically(folder / "metrics.json", (json.dumps({**figures, **known}, indent=2) + "\n").encode())
    write_results(folder)
    write_report(folder)


def load_run(folder: Path, model: nn.Module) -> SearchResult | nn.Module:
    """Load the result of a run that ``darts.search`` or ``darts.retrain`` has finished.

    Args:
        folder: of the run.
        model: that was searched or trained; it is copied, not changed. After a training of ``result.network()`` it may
            also be the model with choices.

    Returns:
        Of a search, its result; of a training, the network with the trained weights, in evaluation mode.

    Raises:
        UserError: where the folder is none of such a run, the run is not finished, or the model is another.
        SpaceError: where the genotype is of another model.
    """
    kind = read_config(folder).get("kind")
    if kind == "search":
        return _load_search(folder, model)
    if kind == "retrain":
        return _load_training(folder, model)
    raise UserError(f"{folder}: no run of darts.search or darts.retrain; give the folder that was their `run`")


def _load_search(folder: Path, model: nn.Module) -> SearchResult:
    if (folder / WEIGHTS).exists():
        return _load_trials(folder, model)
    paths = checkpoint.newest_first(folder / CHECKPOINTS)
    if not (folder / "genotype.json").exists() or not paths:
        raise UserError(f"{folder}: the search is not finished; continue it by darts.search with this `run`")
    state, ours = checkpoint.load(paths[0]), fingerprint.of_model(model)
    identity = state.get("identity")
    searched = identity.get("model", "a space of the command line") if isinstance(identity, Mapping) else "unknown"
    if searched != ours:
        raise UserError(f"{folder}: its search was in another model, {searched}; `model` is {ours}")
    genotype, space = load_genotype(folder / "genotype.json"), ModuleSpace(model)
    if not isinstance(genotype, ChoicesGenotype):
        raise UserError(f"{folder / 'genotype.json'}: its genotype is none of a model's choices")
    supernet = space.supernet()
    try:
        supernet.load_state_dict(state["task"]["supernet"])
    except STATE_ERRORS as error:
        raise UserError(f"{paths[0]}: its weights are not those of `model` ({last_line(error)})") from None
    space.picks(genotype)  # refuses one of another model
    found = read_object(folder / "metrics.json")
    figures = {name: value for name, value in found.items() if name.startswith("valid_")}
    return SearchResult(genotype, figures, space, supernet.eval())


def _load_trials(folder: Path, model: nn.Module) -> SearchResult:
    """Load a search by a strategy without gradients, which keeps the weights of its best network."""
    if not isinstance(model, nn.Module):
        raise UserError(f"{folder}: a search of a list of layers; darts.search with this `run` returns its result")
    if not (folder / "genotype.json").exists():
        raise UserError(f"{folder}: the search is not finished; continue it by darts.search with this `run`")
    genotype, space = load_genotype(folder / "genotype.json"), ModuleSpace(model)
    if not isinstance(genotype, ChoicesGenotype):
        raise UserError(f"{folder / 'genotype.json'}: its genotype is none of a model's choices")
    weights = checkpoint.load(folder / WEIGHTS).get("network")
    try:
        space.network(genotype, searched=True).load_state_dict(weights or {})
    except STATE_ERRORS as error:
        raise UserError(f"{folder / WEIGHTS}: its weights are not those of `model` ({last_line(error)})") from None
    figures = {name: value for name, value in read_object(folder / "metrics.json").items() if name.startswith("valid_")}
    return SearchResult(genotype, figures, space, None, weights)


def _load_training(folder: Path, model: nn.Module) -> nn.Module:
    path = folder / WEIGHTS
    if not path.exists():
        raise UserError(f"{folder}: the training is not finished; continue it by darts.retrain with this `run`")
    weights = checkpoint.load(path).get("network")
    if not isinstance(weights, Mapping):
        raise UserError(f"{path}: it holds no weights of a network")
    if next(choices(model), None) is None:
        network = copy.deepcopy(model)
    elif (folder / "genotype.json").exists():
        genotype = load_genotype(folder / "genotype.json")
        if not isinstance(genotype, ChoicesGenotype):
            raise UserError(f"{folder / 'genotype.json'}: its genotype is none of a model's choices")
        network = ModuleSpace(model).network(genotype)
        setattr(network, DERIVED, genotype)
    else:
        raise UserError(f"{folder}: its network has no genotype; give the trained network as `model`, without choices")
    try:
        network.load_state_dict(weights)
    except STATE_ERRORS as error:
        raise UserError(f"{path}: the weights are of another network than `model` ({last_line(error)})") from None
    return network.eval()
