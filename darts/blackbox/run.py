"""Build the search without gradients that a configuration describes, and run it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from optuna.samplers import BaseSampler
from optuna.study import Study
from rich.console import Console
from rich.progress import track

from darts.artifacts.tuned import PARETO_FILE, TUNED
from darts.benchmarks.standing import Standing
from darts.blackbox.evaluation import Plan, TimeLimit
from darts.blackbox.evaluators import Problem, unknown
from darts.blackbox.ledger import Ledger
from darts.blackbox.locks import Claims
from darts.blackbox.objectives import goals_of, outcome_of
from darts.blackbox.pareto.replay import ParetoReplays, replay_pareto
from darts.blackbox.pareto.results import pareto_json
from darts.blackbox.per_trial import PerTrialSampler, bohb_model
from darts.blackbox.progress import listener
from darts.blackbox.records import REASON
from darts.blackbox.replay import Query, Table, queries_of
from darts.blackbox.samplers import OPTUNA, OWN_SEVERAL, SEVERAL, StrategySampler
from darts.blackbox.schedulers import BOHB, scheduler_of
from darts.blackbox.stoppers import STOPPERS, Stopper
from darts.blackbox.storage import open_storage, reachable, sqlite
from darts.blackbox.strategies import STRATEGIES, Strategy
from darts.blackbox.strategies.beginning import Beginning
from darts.blackbox.study import FILE, open_study, search
from darts.blackbox.trials_file import write_trials, written_too
from darts.blackbox.tuning import TunedDecisions, tuned_of
from darts.config import identity, to_dict
from darts.config.blackbox import BlackboxConfig
from darts.errors import UserError
from darts.methods.compose import component
from darts.oneshot.prior import results_in
from darts.retraining.evaluator import Lookup
from genotypes import Genotype, describe, picture, write
from genotypes.atomic_write import write_atomically

CPU = torch.device("cpu")


def require_options(config: BlackboxConfig) -> None:
    """Make what the configuration names once, so that a mistake is said before anything is read or written.

    Raises:
        UserError: where there is no such strategy, scheduler, stopper, objective, limit or option.
    """
    goals_of(config)
    scheduler_of(config).start(config.budget.epochs)
    stoppers_of(config)
    tuned_of(config)
    if config.strategy not in OPTUNA:
        strategy_of(config)


def stoppers_of(config: BlackboxConfig) -> list[Stopper]:
    """Return the configuration's stoppers.

    Raises:
        UserError: where there is no such stopper or option.
    """
    return [component("`stoppers`", STOPPERS, text) for text in config.stoppers]


def sampler_of(config: BlackboxConfig, problem: Problem) -> BaseSampler:
    """Return the sampler of the configuration's strategy, or of the one that the evaluator has trained.

    Raises:
        UserError: where there is no such strategy or option, or the scheduler needs another one.
    """
    scheduler = scheduler_of(config)
    rungs = scheduler.start(config.budget.epochs).rungs
    if isinstance(scheduler, BOHB):
        if config.strategy != "tpe":
            raise UserError(f"`strategy` is {config.strategy}; the scheduler bohb has its own model: set it to tpe")
        share = scheduler.random_share
        return PerTrialSampler(bohb_model, config.seed, rungs, random_share=share, per_decision=True)
    if config.prior and config.strategy in OPTUNA:
        raise UserError(f"`prior` is given, and `strategy` {config.strategy} cannot begin with it: take another one")
    if config.strategy in OPTUNA:
        return PerTrialSampler(OPTUNA[config.strategy], config.seed, rungs)
    tuned = tuned_of(config)
    decisions = TunedDecisions(problem.decisions, tuned) if tuned else problem.decisions
    strategy = problem.strategy or strategy_of(config)
    if config.prior:
        earlier = results_in(problem.decisions.space, config.prior)
        strategy = Beginning(strategy, tuple(map(problem.decisions.point, earlier)))
    if config.strategy_name in SEVERAL:
        return StrategySampler(strategy, decisions, config.seed, outcome=outcome_of)
    if len(goals_of(config).objectives) > 1:
        raise UserError(
            f"`strategy` {config.strategy_name} searches by one of `objectives`; by several do {', '.join(SEVERAL)}"
        )
    return StrategySampler(strategy, decisions, config.seed)


def strategy_of(config: BlackboxConfig) -> Strategy:
    """Return the configuration's strategy, of those that this project defines.

    Raises:
        UserError: where there is no such strategy or option.
    """
    if config.strategy_name not in STRATEGIES:
        allowed = ", ".join([*STRATEGIES, *OPTUNA])
        raise UserError(f"`strategy` is {config.strategy_name!r}; it must be one of {allowed}")
    return component("`strategy`", STRATEGIES, config.strategy)


def last_trial(config: BlackboxConfig, problem: Problem) -> int | None:
    """Return after how many trials a strategy that asks for every point has no more; None for other strategies.

    Raises:
        UserError: where the architectures of the space are not counted, and no number of trials is given.
    """
    name = config.strategy_name
    if name not in STRATEGIES or not STRATEGIES[name].enumerates:
        return None
    count = problem.decisions.count()
    if count is None and config.budget.trials is None:
        raise UserError(f"`strategy` {name}: the architectures of this space are not counted; set `budget.trials`")
    return count


def run_study(
    config: BlackboxConfig,
    problem: Problem,
    folder: Path,
    console: Console,
    device: torch.device = CPU,
    begun: Callable[[], None] = lambda: None,
    start: float | None = None,
) -> Study:
    """Search until the budget is spent, a line for each training; continue a study that is there.

    Args:
        folder: of the run; that of a shared study is used by all of its workers.
        device: that evaluates.
        begun: is called when it is certain that the study is this configuration's, before the first trial.
        start: when the time of ``run.max_hours`` began, by ``time.monotonic()``; by default now.

    Raises:
        UserError: where the study in the storage was made with other settings, or an option is unknown.
    """
    goals = goals_of(config)
    schedule = scheduler_of(config).start(config.budget.epochs)
    stoppers = stoppers_of(config)
    sampler = sampler_of(config, problem)
    folder.mkdir(parents=True, exist_ok=True)
    storage = open_storage(config.study.storage or sqlite(folder / FILE))
    name = folder.name if config.study.shared else "search"
    advice = f"choose another `{'study' if config.study.shared else 'run'}.name`"
    with reachable(storage.name):
        study = open_study(storage, name, sampler, _settings(config), goals, advice, problem.decisions)
        known = Ledger(study).read()
    begun()
    hours = config.run.max_hours
    start = time.monotonic() if start is None else start
    plan = Plan(
        config.budget,
        schedule,
        stoppers,
        gpus=int(device.type == "cuda"),
        goals=goals,
        costs=problem.costs,
        tuned=tuned_of(config),
        listener=written_too(listener(known, goals, config.budget, console), study, folder),
        last=last_trial(config, problem),
        clock=TimeLimit(None if hours is None else start + 3600 * hours),
    )
    with reachable(storage.name):
        search(study, problem.decisions, problem.evaluator, plan, folder, Claims(storage.locks, study._study_id))
    return study


def write_study(
    config: BlackboxConfig, study: Study, folder: Path, truth: Callable[[Genotype], Standing | None] = unknown
) -> Genotype:
    """Write the best genotype, its picture, all trials and the figures of a finished search.

    Args:
        truth: returns the standing of an architecture, where a table has it.

    Raises:
        UserError: where no trial was completed.
    """
    with reachable(str(folder)):
        goals, ledger = goals_of(config), Ledger(study).read()
    found = ledger.best
    if found is None:
        reasons = [trial.user_attrs.get(REASON) for trial in ledger.trials]
        why = f"the last failed: {reasons[-1][:120]}" if reasons and reasons[-1] else "continue with `run.resume`"
        raise UserError(f"{folder}: none of {len(reasons)} trials was completed; {why}")
    genotype = found.genotype.named(folder.name)
    tuned = {TUNED: found.tuned} if found.tuned else {}
    origin = {"recipe": config.recipe, "data": config.data.name, "seed": config.seed, "trial": found.number + 1}
    several = {PARETO_FILE: pareto_json(study, goals)} if len(goals.objectives) > 1 else {}
    figures = {
        **found.values,
        **tuned,
        "genotype": describe(genotype),
        "genotype_hash": genotype.hash,
        "trial": found.number + 1,
        "trials": len(ledger.trials),
        "seconds": ledger.spent.seconds,
        **(standing.figures() if (standing := truth(genotype)) else {}),
    }
    for file, content in (
        ("genotype.json", write(genotype, extra={"searched": {**origin, **tuned}})),
        ("cells.svg", picture(genotype)),
        ("metrics.json", json.dumps(figures, indent=2) + "\n"),
        *several.items(),
    ):
        write_atomically(folder / file, content.encode())
    write_trials(study, folder)
    return genotype


@dataclass(frozen=True)
class Replays:
    """Searches of many seeds on a benchmark.

    Attributes:
        test: data set -> test accuracy, after the long training, of what each search found, as shares of 1.
        queries: architectures that each search looked up.
    """

    test: Mapping[str, Sequence[float]]
    queries: Sequence[int]

    def lines(self) -> Iterator[str]:
        """Yield mean and standard deviation over the seeds, a line for each data set."""
        yield f"{len(self.queries)} searches, {mean(self.queries):.1f} queries each"
        for data, accuracies in self.test.items():
            spread = f" ± {100 * stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
            yield f"{data:>10}: {100 * mean(accuracies):.2f}{spread} % test accuracy"


def run_replays(config: BlackboxConfig, problem: Problem, console: Console) -> Replays | ParetoReplays:
    """Search with each seed, and look up what was found on every data set of the benchmark.

    For several objectives, compare the Pareto sets with the exact one, on the data set that is searched by.

    Raises:
        UserError: where the budget is too small for one query, or the strategy is Optuna's own.
    """
    assert isinstance(problem.evaluator, Lookup)
    strategy, benchmark = strategy_of(config), problem.evaluator.benchmark
    table = Table(benchmark, problem.evaluator.data, config.budget.epochs)
    goals, seeds = goals_of(config), range(config.seed, config.seed + config.seeds)
    if len(goals.objectives) > 1:
        if config.strategy_name not in SEVERAL:
            raise UserError(
                f"`strategy` {config.strategy} searches by one of `objectives`; set it to {', '.join(OWN_SEVERAL)}"
            )
        return replay_pareto(strategy, problem.decisions, table, goals, config.budget, seeds, console)
    if goals.limits or goals.objectives != ("accuracy",):
        raise UserError("`seeds` replays searches by accuracy without `limits`, or by several `objectives`")
    test: dict[str, list[float]] = {data: [] for data in benchmark.data}
    queries = []

    def reward(query: Query) -> float:
        return query.score.values["valid_accuracy"]

    for seed in track(seeds, "searches", console=console, transient=True):
        looked_up = queries_of(strategy, problem.decisions, table, config.budget, seed, reward)
        found = max(looked_up, key=reward)
        queries.append(len(looked_up))
        for data, accuracies in test.items():
            length = max(benchmark.lengths, default=config.budget.epochs)
            accuracies.append(benchmark.query(found.genotype, data, length).values["test_accuracy"])
    return Replays(test, queries)


def write_replays(
    config: BlackboxConfig, replays: Replays | ParetoReplays, machine: Mapping[str, Any], folder: Path
) -> None:
    """Write ``replays.json``: the configuration, the machine, and what each search found."""
    content = {"machine": machine, "config": to_dict(config), **asdict(replays)}
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "replays.json", (json.dumps(content) + "\n").encode())


def _settings(config: BlackboxConfig) -> dict[str, Any]:
    """Return what the trials of a study depend on; its workers may compute on different devices."""
    return {name: value for name, value in identity(config).items() if name != "run.device"}
