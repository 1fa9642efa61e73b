"""``darts.search`` by a strategy without gradients: each architecture is trained, and judged on a held-out part.

The model's choices, or a sequence of layers, are the space. Candidates may differ in shape where lazy layers follow
(``nn.LazyLinear``). An interrupted search is continued in its folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optuna.trial import Trial
from rich.console import Console
from torch import Tensor, nn

from darts.artifacts import checkpoint, fingerprint
from darts.automatic.call_shape import CallShape
from darts.automatic.records import best_of, completed, open_record
from darts.automatic.trial_loop import Infeasible, Result, run_trials
from darts.automatic.trials.epochs import Trained, run_once, train_epochs
from darts.automatic.trials.sequence import DEPTH, Sequence, SequenceSpace, space_of
from darts.automatic.trials.trial_settings import TrialSettings
from darts.blackbox.points import ArchitectureDecisions, Decision, Decisions, Point
from darts.blackbox.records import COUNT, FIGURES, SECONDS, TEXT, TIME, Records
from darts.blackbox.samplers import StrategySampler, suggest
from darts.blackbox.strategies import STRATEGIES, GeneticAlgorithm, Strategy
from darts.blackbox.strategies.beginning import Beginning
from darts.data.objective import Objective
from darts.data.user_data import UserSplit
from darts.errors import UserError
from darts.methods.compose import component
from darts.oneshot.prior import results_in
from genotypes import describe, picture, write
from genotypes.atomic_write import write_atomically
from genotypes.types.choices import ChoicesGenotype
from supernet.cost.architecture import COSTS, Deployment
from supernet.cost.limits import exceeded, parse_limits
from supernet.network import count_parameters
from supernet.spaces.modules import ModuleSpace

TRIALS = 20
"""Architectures that are tried by default; of a genetic algorithm, two generations."""

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
    parts: tuple[UserSplit, UserSplit],
    strategy: str | Strategy,
    objective: Objective,
    settings: TrialSettings,
    *,
    trials: int | None,
    prior: tuple[Path, ...],
    folder: Path,
    device: torch.device,
    made_with: Mapping[str, Any],
    console: Console,
    begun: Callable[[], None] = lambda: None,
) -> TrialResult:
    """Search the choices of a model, or a sequence of layers.

    The caller keeps the global random generators.

    Args:
        parts: the data that train, and those that judge.
        trials: architectures to try.
        prior: folders of earlier searches, with whose results the strategy begins.
        folder: of the run.
        made_with: identifies the data and the loss.
        begun: is called when it is certain that the folder is this search's, before the first training.

    Raises:
        UserError: where the folder is of another search, a network fails, or no architecture could be trained.
    """
    chosen: Strategy = component("`method`", STRATEGIES, strategy) if isinstance(strategy, str) else strategy
    if trials is None:
        trials = 2 * chosen.population if isinstance(chosen, GeneticAlgorithm) else TRIALS
    train = parts[0]
    batch = next(train.batches(torch.arange(min(2, len(train))), train.batch_size or 2, training=False))
    if isinstance(model, Sequence):
        labels = train.class_labels()
        inputs = batch[0] if isinstance(batch, list | tuple) else batch
        space: Space = space_of(model, inputs, None if labels is None else int(labels.max()) + 1)
        described = repr(model)
    else:
        space, described = ModuleSpace(model), fingerprint.of_model(model)
    decisions = SequenceDecisions(space) if isinstance(space, SequenceSpace) else ArchitectureDecisions(space)
    identity = {
        "model": described,
        "method": repr(chosen),
        **made_with,
        "prior": list(map(str, prior)),
        **{name: value for name, value in asdict(settings).items() if name != "weights"},
        **{f"weights.{name}": value for name, value in asdict(settings.weights).items()},
    }
    if prior:
        if not isinstance(space, ModuleSpace) or not isinstance(decisions, ArchitectureDecisions):
            raise UserError("`prior` is for models with choices, not for a list of layers: leave it out")
        chosen = Beginning(chosen, tuple(map(decisions.point, results_in(space, prior))))
    trainer = _Trainer(space, parts, objective, settings, batch, device)
    sampler = StrategySampler(chosen, decisions, settings.seed)
    study = open_record(folder, sampler, identity, RECORDS, decisions)
    begun()

    def judge(trial: Trial) -> Result:
        genotype = decisions.genotype(suggest(trial, decisions))
        assert isinstance(genotype, ChoicesGenotype)
        trained, parameters = trainer.train(genotype, trial.number)
        shown = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in trained.figures.items())
        content = {"kind": "weights", "network": dict(trained.weights), "trial": trial.number}
        return Result(
            trained.value,
            f"{shown} after epoch {trained.epoch}: {genotype}",
            {
                "genotype": describe(genotype),
                "figures": dict(trained.figures),
                "epoch": trained.epoch,
                "parameters": parameters,
            },
            partial(checkpoint.save, folder / WEIGHTS, content),
        )

    def say(trial: Trial, found: str) -> None:
        console.print(f"architecture {trial.number + 1} of {trials}: {found}", highlight=False, markup=False)

    run_trials(study, judge, trials=trials, say=say, suggest=lambda trial: suggest(trial, decisions))
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


class _Trainer:
    """Builds and trains the networks of architectures."""

    def __init__(
        self,
        space: Space,
        parts: tuple[UserSplit, UserSplit],
        objective: Objective,
        settings: TrialSettings,
        batch: Any,
        device: torch.device,
    ):
        self.space, self.parts, self.objective, self.settings = space, parts, objective, settings
        self.batch, self.device = batch, device
        self.limits = parse_limits(settings.limits) if settings.limits else {}
        if "latency" in self.limits:
            raise UserError("`limits` of latency are for searches on the command line; give other costs")

    def train(self, genotype: ChoicesGenotype, number: int) -> tuple[Trained, int]:
        """Return the trained network of an architecture, and the number of its weights.

        Args:
            number: of the trial, from which its randomness comes.

        Raises:
            Infeasible: where it is over a limit.
        """
        seed = int(np.random.SeedSequence((self.settings.seed, number)).generate_state(1)[0])
        torch.manual_seed(seed)
        network, shape = self.space.network(genotype).to(self.device), CallShape()
        call = shape.of_call(network)
        run_once(network, self.batch, lambda _, batch: self.objective(call, batch), f"the network of {genotype}")
        counts = {name: COSTS[name].counts for name in self.limits}
        costs = {name: count.network(network, Deployment(shape)) for name, count in counts.items() if count}
        if over := exceeded(costs, self.limits):
            name, share = next(iter(over.items()))
            raise Infeasible(f"{name} of {genotype} is {100 * share:.0f} % over the limit")
        parameters = count_parameters(network)
        return train_epochs(network, *self.parts, self.objective, self.settings, seed=seed), parameters


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
