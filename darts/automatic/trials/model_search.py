"""``darts.search`` by a strategy without gradients: each architecture is trained, and judged on a held-out part.

The model's choices, or a sequence of layers, are the space. Candidates may differ in shape where lazy layers follow
(``nn.LazyLinear``). An interrupted search is continued in its folder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optuna.trial import Trial, TrialState
from rich.console import Console
from torch import Tensor, nn

from darts.artifacts import checkpoint, fingerprint
from darts.automatic.records import best_of, completed, ended, interrupted, open_record, repeated
from darts.automatic.trials.epochs import run_once, train_epochs
from darts.automatic.trials.sequence import DEPTH, Sequence, SequenceSpace, space_of
from darts.automatic.trials.trial_settings import TrialSettings
from darts.blackbox.evaluation import ends_a_trial
from darts.blackbox.points import ArchitectureDecisions, Decision, Decisions, Point
from darts.blackbox.records import COUNT, FIGURES, SECONDS, TEXT, TIME, Records
from darts.blackbox.samplers import StrategySampler, suggest
from darts.blackbox.strategies import STRATEGIES, GeneticAlgorithm, Strategy
from darts.data.objective import Objective
from darts.data.user_data import UserSplit, divided
from darts.errors import UserError
from darts.methods.compose import component
from darts.training.loop import Diverged
from darts.training.sgd import sgd
from genotypes import describe, picture, write
from genotypes.atomic_write import write_atomically
from genotypes.types.choices import ChoicesGenotype
from supernet.spaces.modules import ModuleSpace

TRIALS = 20
"""Architectures that are tried by default; of a genetic algorithm, two generations."""

REPEATS = 50
"""Architectures known already, one after the other, after which all are taken to be known."""

WEIGHTS = "weights.pt"

FORMS = {SECONDS: TIME, "genotype": TEXT, "figures": FIGURES, "epoch": COUNT, "parameters": COUNT}
RECORDS = Records(FORMS, complete=tuple(FORMS))

Space = ModuleSpace | SequenceSpace


@dataclass(frozen=True)
class TrialResult:
    """The result of a search by trials.

    Attributes:
        genotype: label -> names of the best architecture.
        figures: of its validation part.
        space: that was searched.
        weights: of the best network, after its best epoch.
        trials: one record for each architecture.
    """

    genotype: ChoicesGenotype
    figures: Mapping[str, float]
    space: Space
    weights: Mapping[str, Tensor]
    trials: tuple[Mapping[str, Any], ...]


def search_by_trials(
    model: nn.Module | Sequence,
    examples: UserSplit,
    strategy: str | Strategy,
    objective: Objective,
    settings: TrialSettings,
    *,
    trials: int | None,
    folder: Path,
    device: torch.device,
    loss: str,
    console: Console,
    begun: Callable[[], None] = lambda: None,
) -> TrialResult:
    """Search the choices of a model, or a sequence of layers.

    The caller keeps the global random generators.

    Args:
        trials: architectures to try.
        folder: of the run.
        loss: identifies the user's loss.
        begun: is called when it is certain that the folder is this search's, before the first training.

    Raises:
        UserError: where the folder is of another search, a network fails, or no architecture could be trained.
    """
    chosen: Strategy = component("`method`", STRATEGIES, strategy) if isinstance(strategy, str) else strategy
    if trials is None:
        trials = 2 * chosen.population if isinstance(chosen, GeneticAlgorithm) else TRIALS
    batch = next(examples.batches(torch.arange(min(2, len(examples))), examples.batch_size or 2, training=False))
    if isinstance(model, Sequence):
        labels = examples.class_labels()
        inputs = batch[0] if isinstance(batch, list | tuple) else batch
        space: Space = space_of(model, inputs, None if labels is None else int(labels.max()) + 1)
        described = repr(model)
    else:
        space, described = ModuleSpace(model), fingerprint.of_model(model)
    decisions = _decisions_of(space)
    parts = divided(examples, settings.valid, settings.seed)
    made_with = {
        "model": described,
        "method": repr(chosen),
        "loss": loss,
        "data": fingerprint.of_data(examples.items),
        **{name: value for name, value in asdict(settings).items() if name != "weights"},
        **{f"weights.{name}": value for name, value in asdict(settings.weights).items()},
    }
    study = open_record(folder, StrategySampler(chosen, decisions, settings.seed), made_with, RECORDS, decisions)
    begun()
    waiting, repeats = list(interrupted(study)), 0
    while waiting or (repeats < REPEATS and len(ended(study)) < trials):
        trial = waiting.pop(0) if waiting else study.ask()
        point = suggest(trial, decisions)
        if repeated(study, trial):
            repeats += 1
            continue
        repeats = 0
        began = time.monotonic()
        genotype = decisions.genotype(point)
        trial.set_user_attr("genotype", describe(genotype))
        try:
            trained, network = _trained(space, genotype, trial.number, parts, objective, settings, batch, device)
        except (Diverged, RuntimeError, MemoryError) as error:
            if not ends_a_trial(error):
                raise
            trial.set_user_attr("seconds", time.monotonic() - began)
            study.tell(trial, state=TrialState.FAIL)
            _say(console, trial, trials, f"failed: {error}")
            continue
        trial.set_user_attr("seconds", time.monotonic() - began)
        for name, value in (("figures", dict(trained.figures)), ("epoch", trained.epoch)):
            trial.set_user_attr(name, value)
        trial.set_user_attr("parameters", sum(p.numel() for p in network.parameters()))
        best = best_of(study)
        if best is None or trained.value > float(best.value or 0.0):
            checkpoint.save(
                folder / WEIGHTS, {"kind": "weights", "network": dict(trained.weights), "trial": trial.number}
            )
        study.tell(trial, trained.value)
        shown = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in trained.figures.items())
        _say(console, trial, trials, f"{shown} after epoch {trained.epoch}: {genotype}")
    found = best_of(study)
    if found is None:
        raise UserError("no architecture could be trained: the loss of each became non-finite; lower the learning rate")
    decided = decisions.genotype({name: value for name, value in found.params.items()})
    assert isinstance(decided, ChoicesGenotype)
    weights = checkpoint.load(folder / WEIGHTS)["network"]
    rows = tuple(_row(each) for each in completed(study))
    result = TrialResult(decided, found.user_attrs["figures"], space, weights, rows)
    _write(result, folder)
    return result


class SequenceDecisions(Decisions):
    """The decisions of a sequence, with the genotype of a point."""

    def __init__(self, space: SequenceSpace):
        self.space = space

    def following(self, made: Mapping[str, str]) -> Decision | None:
        """Return the first decision that is not made; None where all are."""
        return self.space.following(made)

    def encoding(self, point: Point, paths: int | None) -> list[float]:
        """Return the layer of each place one-hot; all 0 for places behind the last."""
        sequence, genotype = self.space.sequence, self.space.genotype(point)
        kept = [name for label, (name,) in genotype.picks if label != DEPTH]
        kept += [""] * (sequence.depth[1] - len(kept))
        return [float(layer.name == name) for name in kept for layer in sequence.layers]

    def genotype(self, point: Mapping[str, str]) -> ChoicesGenotype:
        """Return the architecture of a point."""
        return self.space.genotype(point)


def _decisions_of(space: Space) -> Any:
    return SequenceDecisions(space) if isinstance(space, SequenceSpace) else ArchitectureDecisions(space)


def _trained(
    space: Space,
    genotype: ChoicesGenotype,
    number: int,
    parts: tuple[UserSplit, UserSplit],
    objective: Objective,
    settings: TrialSettings,
    batch: Any,
    device: torch.device,
) -> tuple[Any, nn.Module]:
    seed = int(np.random.SeedSequence((settings.seed, number)).generate_state(1)[0])
    torch.manual_seed(seed)
    network = space.network(genotype).to(device)
    run_once(network, batch, objective, f"the network of {genotype}")
    weights = replace(settings.weights)
    trained = train_epochs(
        network,
        sgd(network, weights),
        *parts,
        objective,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        seed=seed,
        patience=settings.patience,
        rate=lambda epoch: weights.learning_rate(epoch, settings.epochs),
        clip=weights.clip,
    )
    return trained, network


def _say(console: Console, trial: Trial, trials: int, found: str) -> None:
    console.print(f"architecture {trial.number + 1} of {trials}: {found}", highlight=False, markup=False)


def _row(trial: Any) -> dict[str, Any]:
    known = {name: trial.user_attrs[name] for name in ("genotype", "figures", "epoch", "parameters", "seconds")}
    return {"trial": trial.number + 1, "value": trial.value, **known}


def _write(result: TrialResult, folder: Path) -> None:
    genotype = result.genotype.named(folder.name)
    for file, content in (
        ("genotype.json", write(genotype)),
        ("cells.svg", picture(genotype)),
        ("trials.json", json.dumps(result.trials, indent=2) + "\n"),
        ("metrics.json", json.dumps({**result.figures, "genotype": describe(genotype)}, indent=2) + "\n"),
    ):
        write_atomically(folder / file, content.encode())
