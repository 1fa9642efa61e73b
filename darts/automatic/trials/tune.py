"""``darts.tune``: define by run, in Optuna's words. A function builds a network from what a trial suggests.

def build(trial):
    filters = trial.suggest_int("filters", 32, 128, step=32)
    network = nn.Sequential(nn.LazyConv2d(filters, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
    return network, torch.optim.Adam(network.parameters(), lr=trial.suggest_categorical("lr", [1e-2, 1e-3]))

study = darts.tune(build, (x, y), strategy="random", trials=5, executions_per_trial=3, epochs=5)
network = study.best_model()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import optuna
import torch
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FixedTrial, Trial
from rich.console import Console
from torch import nn

from darts.arguments import public, require_one
from darts.artifacts import checkpoint, fingerprint
from darts.artifacts.user_folder import STUDY, run_folder_of
from darts.automatic.records import best_of, completed, open_record
from darts.automatic.trial_loop import Result, run_trials
from darts.automatic.trials.epochs import Trained, run_once, train_epochs
from darts.automatic.trials.trial_settings import TrialSettings
from darts.blackbox.records import NUMBERS, SECONDS, TIME, Records
from darts.blackbox.samplers import OPTUNA
from darts.config import RunConfig, WeightsConfig
from darts.data.objective import Objective
from darts.data.user_data import UserSplit, divided, user_split
from darts.errors import UserError
from darts.training.device import choose_device
from darts.training.generators import global_generators_kept
from darts.training.objective import UserLoss, classification

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "random": lambda seed: RandomSampler(seed=seed),
    "tpe": OPTUNA["tpe"],
    "gp": OPTUNA["gp"],
}
"""Name of a strategy -> its sampler of a seed."""

WEIGHTS = "weights.pt"

RECORDS = Records({SECONDS: TIME, "values": NUMBERS}, complete=(SECONDS, "values"))

Build = Callable[[Any], nn.Module | tuple[nn.Module, torch.optim.Optimizer]]
"""A trial of Optuna -> a network, or a network and its optimizer."""


@dataclass(frozen=True)
class Tuned:
    """The result of ``darts.tune``.

    Attributes:
        study: of Optuna, with all trials.
        build: that the networks were built by.
        weights: of the best execution of the best trial, after its best epoch.
        batch: of the data; it gives lazy layers their sizes.
        objective: that was minimized.
        device: that the networks are on.
    """

    study: Study
    build: Build
    weights: Mapping[str, torch.Tensor]
    batch: Any
    objective: Objective
    device: torch.device

    @property
    def best_params(self) -> dict[str, Any]:
        """What the best trial suggested, by name."""
        best = best_of(self.study)
        assert best is not None
        return dict(best.params)

    @property
    def best_value(self) -> float:
        """The validation accuracy of the best trial, the mean of its executions; or its loss with the sign turned."""
        best = best_of(self.study)
        assert best is not None
        return float(best.value or 0.0)

    def best_model(self) -> nn.Module:
        """Return the best trial's network with the weights of its best execution, in evaluation mode."""
        with torch.random.fork_rng(devices=[]):
            network, _ = _built(self.build, FixedTrial(self.best_params), self.device)
            run_once(network, self.batch, self.objective, "the network of `build`")
        network.load_state_dict(self.weights)
        return network.eval()

    def leaderboard(self) -> list[dict[str, Any]]:
        """Return a record of each trial that was trained to the end, the best first."""
        rows = sorted(completed(self.study), key=lambda trial: -float(trial.value or 0.0))
        return [
            {
                "rank": rank,
                "trial": trial.number + 1,
                "value": trial.value,
                **trial.params,
                "seconds": trial.user_attrs["seconds"],
            }
            for rank, trial in enumerate(rows, 1)
        ]


@public
def tune(
    build: Build,
    data: Any,
    *,
    strategy: str = "random",
    trials: int = 10,
    executions_per_trial: int = 1,
    epochs: int = 10,
    batch_size: int = 64,
    loss: Callable[..., torch.Tensor] | None = None,
    validation_split: float | None = None,
    patience: int | None = None,
    seed: int = 0,
    device: str = "auto",
    run: str | Path | None = None,
    verbose: bool = True,
    valid: Any = None,
) -> Tuned:
    """Search the values that a trial suggests to a function which builds a network.

    Args:
        build: called with a trial (``suggest_int``, ``suggest_float``, ``suggest_categorical``); returns a network, or
            a network and its optimizer. Lazy layers get their sizes from the data. Adam by default.
        data: as of ``darts.search``.
        strategy: random, tpe or gp.
        trials: number of trials.
        executions_per_trial: trainings of each, with other initial weights; the mean of their results counts.
        epochs: of each training; the weights of the best epoch count.
        batch_size: examples of a step.
        loss: (network, batch) -> mean loss; cross-entropy by default.
        validation_split: share of the data that is held out to judge by; a fifth by default.
        patience: epochs without improvement after which a training stops; None for never.
        seed: of everything random.
        device: cpu, cuda, ...
        run: a folder for the trials; a search that was interrupted there is continued.
        verbose: whether to print a line for each trial.
        valid: data of the same forms to judge by, in place of a held-out share.

    Raises:
        UserError: in one line, where an argument, the data or the network cannot be used.
    """
    if strategy not in SAMPLERS:
        raise UserError(f"`strategy` is {strategy!r}; it must be one of {', '.join(SAMPLERS)}")
    require_one(valid=valid, validation_split=validation_split)
    chosen = choose_device(RunConfig(device=device))
    examples = user_split(data, chosen)
    objective = UserLoss(loss) if loss else classification
    settings = TrialSettings(epochs, batch_size, WeightsConfig(), validation_split or 0.2, patience, seed)
    parts = divided(examples, settings.valid, seed) if valid is None else (examples, user_split(valid, chosen))
    batch = next(examples.batches(torch.arange(min(2, len(examples))), examples.batch_size or 2, training=False))
    if objective is classification:
        classification.check(batch)
    console = Console(soft_wrap=True, quiet=not verbose, markup=False, emoji=False)
    made_with = {
        "data": fingerprint.of_data(examples.items),
        "valid": None if valid is None else fingerprint.of_data(parts[1].items),
        "build": fingerprint.of_loss(build),
        "loss": fingerprint.of_loss(loss),
        "strategy": strategy,
        "executions_per_trial": executions_per_trial,
        "epochs": epochs,
        "batch_size": batch_size,
        "validation_split": settings.valid,
        "patience": patience,
        "seed": seed,
    }
    with run_folder_of(run, STUDY) as folder, global_generators_kept(chosen):
        study = open_record(folder, _Replayed(SAMPLERS[strategy], seed), made_with, RECORDS)

        def judge(trial: Trial) -> Result:
            runs = [
                _execution(build, trial, parts, objective, batch, chosen, (seed, trial.number, number), settings)
                for number in range(executions_per_trial)
            ]
            value, best = fmean(each.value for each in runs), max(runs, key=lambda each: each.value)
            shown = ", ".join(f"{name}={suggested}" for name, suggested in trial.params.items())
            content = {"kind": "weights", "network": dict(best.weights)}
            keep = partial(checkpoint.save, folder / WEIGHTS, content)
            return Result(value, f"{value:.4f}  {shown}", {"values": [each.value for each in runs]}, keep)

        def say(trial: Trial, found: str) -> None:
            console.print(f"trial {trial.number + 1} of {trials}: {found}", highlight=False, markup=False)

        run_trials(study, judge, trials=trials, say=say)
        if best_of(study) is None:
            raise UserError("no trial could be trained: the loss of each became non-finite; lower the learning rate")
        kept = optuna.create_study(direction="maximize")  # in memory: the folder may be a temporary one
        kept.add_trials(study.get_trials(deepcopy=False))
        weights = checkpoint.load(folder / WEIGHTS)["network"]
    return Tuned(kept, build, weights, batch, objective, chosen)


class _Replayed(BaseSampler):
    """A sampler whose draws depend on the seed, the number of the trial and the trials before it alone."""

    def __init__(self, make: Callable[[int], BaseSampler], seed: int):
        self.make, self.seed = make, seed
        self.number, self.sampler = -1, make(0)

    def _of(self, trial: Any) -> BaseSampler:
        if trial.number != self.number:
            entropy = np.random.SeedSequence((self.seed, trial.number))
            self.number, self.sampler = trial.number, self.make(int(entropy.generate_state(1)[0]))
        return self.sampler

    def infer_relative_search_space(self, study: Study, trial: Any) -> dict[str, Any]:
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(self, study: Study, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(self, study: Study, trial: Any, param_name: str, param_distribution: Any) -> Any:
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)


def _execution(
    build: Build,
    trial: Any,
    parts: tuple[UserSplit, UserSplit],
    objective: Objective,
    batch: Any,
    device: torch.device,
    entropy: tuple[int, ...],
    settings: TrialSettings,
) -> Trained:
    """Train a network of a trial once."""
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    torch.manual_seed(seed)
    network, optimizer = _built(build, trial, device)
    run_once(network, batch, objective, "the network of `build`")
    optimizer = optimizer or torch.optim.Adam(network.parameters())
    return train_epochs(network, *parts, objective, settings, seed=seed, optimizer=optimizer)


def _built(build: Build, trial: Any, device: torch.device) -> tuple[nn.Module, torch.optim.Optimizer | None]:
    """Return what ``build`` makes: a network on the device, and its optimizer where there is one.

    Raises:
        UserError: where it makes something else.
    """
    made = build(trial)
    network, optimizer = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(network, nn.Module) or not isinstance(optimizer, torch.optim.Optimizer | None):
        raise UserError(f"`build` returns a {type(made).__name__}; it must return a network, or (network, optimizer)")
    return network.to(device), optimizer
