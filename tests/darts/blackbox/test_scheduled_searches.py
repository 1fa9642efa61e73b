"""Searches whose trials are paused, promoted, stopped and resumed: decided on the study's records alone."""

import math
import time
from dataclasses import replace
from random import Random
from statistics import fmean

import optuna
import pytest
import torch
from optuna.trial import TrialState
from rich.console import Console

from darts.artifacts.checkpoint import load, newest_first
from darts.benchmarks.protocol import Score
from darts.blackbox.evaluation import Listener, Plan, TimeLimit
from darts.blackbox.evaluators import Setting, problem_of
from darts.blackbox.ledger import Ledger
from darts.blackbox.per_trial import PerTrialSampler, bohb_model
from darts.blackbox.records import epochs_of, is_paused
from darts.blackbox.results import best
from darts.blackbox.run import run_study
from darts.blackbox.samplers import StrategySampler, suggest
from darts.blackbox.schedulers import ASHA, SCHEDULERS, Hyperband, SuccessiveHalving
from darts.blackbox.stoppers import Median
from darts.blackbox.strategies import RandomSearch, RegularizedEvolution
from darts.blackbox.study import search
from darts.config import SearchSpaceConfig, WeightsConfig
from darts.config.blackbox import BlackboxConfig, BudgetConfig
from darts.errors import UserError
from darts.retraining.evaluator import Budget, OutOfTime, Trial
from darts.training.loop import Diverged
from tests import tiny
from tests.darts.blackbox.workers import Numbers

QUIET = Console(quiet=True)
EVOLUTION = RegularizedEvolution(population=4, sample=2)


class Toy:
    """An evaluator that learns: the longer, the better; it notes its calls, and may be interrupted or fail."""

    def __init__(self, stop=None, fails=()):
        self.calls, self.stop, self.fails = [], stop, fails
        self.study = None

    def __call__(self, genotype, budget, trial):
        number = int(trial.folder.name)
        if len(self.calls) == self.stop:
            self.stop = None
            raise KeyboardInterrupt
        self.calls.append((number, budget.epochs))
        if number in self.fails:
            raise self.fails[number]
        digits = [int(self.study.trials[number].params[name]) for name in "abc"]
        quality = (digits[0] * 7 + digits[1] * 3 + digits[2]) / 100
        return Score({"valid_accuracy": quality * (1 - 0.5**budget.epochs)}, seconds=float(budget.epochs))


def study_of(storage=None, strategy=RandomSearch()):  # noqa: B008
    if strategy == "bohb":
        sampler = PerTrialSampler(bohb_model, 0, (1, 3, 9), random_share=0.3, per_decision=True)
    else:
        sampler = StrategySampler(strategy, Numbers(), 0)
    return optuna.create_study(
        storage=storage, study_name="s", sampler=sampler, direction="maximize", load_if_exists=True
    )


def run(toy, tmp_path, trials=20, scheduler=None, study=None, **options):
    study = study or study_of()
    toy.study = study
    budget = options.pop("budget", BudgetConfig(trials=trials, epochs=9))
    plan = Plan(budget, (scheduler or ASHA()).start(9), **options)
    search(study, Numbers(), toy, plan, tmp_path)
    return study


def trials_of(study):
    """All that matters of the trials."""
    return [
        (trial.state, trial.params, trial.intermediate_values, epochs_of(trial), trial.values) for trial in study.trials
    ]


def test_trials_are_paused_and_promoted_under_their_numbers(tmp_path):
    toy = Toy()
    study = run(toy, tmp_path)
    assert len(study.trials) == 20
    for trial in study.trials:
        assert [epochs for number, epochs in toy.calls if number == trial.number] == epochs_of(trial)
        assert list(trial.intermediate_values) == epochs_of(trial)
        assert is_paused(trial) is (epochs_of(trial)[-1] < 9) and (trial.state == TrialState.COMPLETE) is (
            epochs_of(trial)[-1] == 9
        )
    assert {9} < {epochs_of(trial)[-1] for trial in study.trials} <= {1, 3, 9}
    found = best(study)
    assert epochs_of(study.trials[found.number])[-1] == 9, "a longer training counts more than a better value"


@pytest.mark.parametrize("scheduler", [ASHA(), Hyperband(), SuccessiveHalving()], ids=str)
@pytest.mark.parametrize("strategy", [EVOLUTION, "bohb"], ids=["evolution", "bohb"])
def test_a_study_that_is_interrupted_anywhere_is_a_whole_one(tmp_path, scheduler, strategy):
    whole = Toy()
    expected = trials_of(run(whole, tmp_path, 14, scheduler, study_of(strategy=strategy)))
    storage = optuna.storages.InMemoryStorage()
    parts = Toy()
    for stop in (0, 3, 4, 9, 13, 16, None):
        parts.stop = stop
        try:
            study = run(parts, tmp_path, 14, scheduler, study_of(storage, strategy=strategy))
        except KeyboardInterrupt:
            assert stop is not None
    assert trials_of(study) == expected and parts.calls == whole.calls


def test_losers_of_a_bracket_are_pruned_and_asha_keeps_them_paused(tmp_path):
    halving = run(Toy(), tmp_path, 9, SuccessiveHalving())
    assert [t.state for t in halving.trials].count(TrialState.PRUNED) == 8
    asha = run(Toy(), tmp_path, 9, ASHA())
    assert [t.state for t in asha.trials].count(TrialState.WAITING) >= 6


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Diverged("loss is nan at step 3"), "loss is nan at step 3"),
        (MemoryError(), "MemoryError"),
        (torch.OutOfMemoryError("CUDA out of memory"), "CUDA out of memory"),
    ],
)
def test_a_trial_that_fails_is_recorded_and_the_study_goes_on(tmp_path, error, reason):
    study = run(Toy(fails={2: error}), tmp_path, 9)
    assert [trial.state == TrialState.FAIL for trial in study.trials] == [n == 2 for n in range(9)]
    assert study.trials[2].user_attrs["reason"] == reason


def test_a_value_that_is_not_finite_is_a_failure(tmp_path):
    class Nan(Toy):
        def __call__(self, genotype, budget, trial):
            return replace(super().__call__(genotype, budget, trial), values={"valid_accuracy": math.nan})

    study = run(Nan(), tmp_path, 3)
    assert [trial.user_attrs["reason"] for trial in study.trials] == ["its value is nan after 1 epochs"] * 3


def test_errors_of_the_program_are_not_hidden(tmp_path):
    with pytest.raises(RuntimeError, match="a mistake"):
        run(Toy(fails={2: RuntimeError("a mistake")}), tmp_path, 9)


@pytest.mark.parametrize(
    ("budget", "used"),
    [
        (BudgetConfig(total_epochs=40, epochs=9), lambda used: 30 < used.epochs <= 40),
        (BudgetConfig(seconds=25.0, epochs=9), lambda used: 25 <= used.seconds < 34),
        (BudgetConfig(cpu_hours=2e-7, epochs=9), lambda used: used.trials < 99 and used.cpu_hours >= 2e-7),
        (BudgetConfig(gpu_hours=2e-7, epochs=9), lambda used: used.trials < 99 and used.gpu_hours >= 2e-7),
        (BudgetConfig(trials=5, seconds=1e6, epochs=9), lambda used: used.trials == 5),
    ],
)
def test_each_budget_ends_a_search(tmp_path, budget, used):
    study = run(Toy(), tmp_path, budget=budget, gpus=1)
    spent = Ledger(study).read().spent
    assert used(spent)
    done = sum(epochs_of(trial)[-1] for trial in study.trials)
    assert spent.epochs == done and spent.seconds == done


def test_a_search_that_ran_out_of_time_promotes_with_a_larger_budget(tmp_path):
    whole = run(Toy(), tmp_path, budget=BudgetConfig(seconds=60.0, epochs=9))
    study = study_of()
    for seconds in (7.0, 20.0, 21.0, 60.0):
        run(Toy(), tmp_path, study=study, budget=BudgetConfig(seconds=seconds, epochs=9))
    assert trials_of(study) == trials_of(whole)


def test_a_search_ends_when_there_is_no_time_for_another_trial_and_continues(tmp_path):
    said, study = [], study_of()
    clock = TimeLimit(time.monotonic() + 1000.0)

    class Longer(Toy):
        def __call__(self, genotype, budget, trial):
            if len(self.calls) == 1:
                clock.took(1000.0)
            return super().__call__(genotype, budget, trial)

    run(Longer(), tmp_path, 6, study=study, clock=clock, listener=Listener(say=said.append))
    assert len(study.trials) == 2 and said == ["--max-hours: no time for another trial; --resume continues"]
    run(Toy(), tmp_path, 6, study=study, clock=TimeLimit(time.monotonic() + 1000.0))
    assert trials_of(study) == trials_of(run(Toy(), tmp_path, 6))


def test_a_trial_without_time_to_end_is_continued(tmp_path):
    study = study_of()
    run(Toy(fails={1: OutOfTime()}), tmp_path, 3, study=study)
    assert [trial.state for trial in study.trials] == [TrialState.WAITING, TrialState.RUNNING]
    run(Toy(), tmp_path, 3, study=study)
    assert trials_of(study) == trials_of(run(Toy(), tmp_path, 3))


def test_a_ledger_reads_a_finished_trial_once(tmp_path):
    study = study_of()
    run(Toy(fails={2: MemoryError()}), tmp_path, 9, Hyperband(), study)
    known = Ledger(study)
    for count in (3, 9):
        again = replace(known, study=Shown(study, count)).read()
        assert again.entries == Ledger(Shown(study, count)).read().entries
        assert all(again.entries[number] is entry for number, entry in enumerate(known.entries)
                   if number not in known.unfinished)  # fmt: skip
        known = again
    assert known.spent.trials == 9 and known.failed == 1 and known.best == best(study)
    assert known.spent.epochs == sum(max(trial.intermediate_values, default=1) for trial in study.trials)


class Shown:
    """A study of which the first trials are there."""

    def __init__(self, study, count):
        self.directions, self._trials = study.directions, study.trials[:count]

    def get_trials(self, deepcopy):
        return self._trials


def test_bohb_draws_a_third_at_random_and_learns(tmp_path):
    study = run(Toy(), tmp_path, 60, Hyperband(), study_of(strategy="bohb"))

    def quality(trials):
        return fmean(sum(int(t.params[name]) * weight for name, weight in zip("abc", (7, 3, 1))) for t in trials)

    late = study.trials[30:]
    drawn = [trial for trial in late if Random(f"0:{trial.number}").random() < 0.3]
    assert 3 < len(drawn) < 15
    assert quality([trial for trial in late if trial not in drawn]) > quality(drawn) + 5


def test_stopped_trials_hold_the_reason(tmp_path):
    study = run(Toy(), tmp_path, 14, SCHEDULERS["none"], stoppers=[Median(trials=3)])
    stopped = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert stopped and all(trial.user_attrs["reason"].startswith("stopped after ") for trial in stopped)
    for trial in study.trials:
        reached = max(trial.intermediate_values)
        assert list(trial.intermediate_values) == list(range(1, reached + 1))
        assert (reached == 9) is (trial.state == TrialState.COMPLETE)


def test_the_listener_hears_of_every_training(tmp_path):
    heard = []
    toy = Toy(fails={1: MemoryError()})
    run(toy, tmp_path, 6, listener=Listener(lambda number, ledger: heard.append(number)))
    assert heard == [number for number, _ in toy.calls]


def test_enqueued_points_come_first(tmp_path):
    study = study_of()
    wanted = {"a": "9", "b": "9", "c": "9"}
    study.enqueue_trial(wanted)
    run(Toy(), tmp_path, 5, study=study)
    assert study.trials[0].params == wanted and len(study.trials) == 5 and best(study).number == 0


class Recorder(optuna.samplers.RandomSampler):
    """Draws at random, and notes which values it could have learnt from."""

    def __init__(self, seed, seen):
        super().__init__(seed)
        self.seen = seen

    def before_trial(self, study, trial):
        self.seen.append([other.value for other in study.trials if other.value is not None])


def test_samplers_of_optuna_see_one_rung(tmp_path):
    """The longest one that has more results than a trial has decisions; until then none."""
    seen = []
    sampler = PerTrialSampler(lambda seed: Recorder(seed, seen), 0, (1, 3, 9), per_decision=True)
    study = run(Toy(), tmp_path, 30, study=optuna.create_study(direction="maximize", sampler=sampler))
    assert all(len(values) > 3 for values in seen)
    at = {rung: {t.intermediate_values.get(rung) for t in study.trials} for rung in (1, 3, 9)}
    assert all(any(set(values) <= at[rung] for rung in at) for values in seen)
    assert set(seen[0]) <= at[1] and set(seen[-1]) <= at[3] | at[9]


def trained(scheduler="none", trials=6, **options):
    return BlackboxConfig(
        space=SearchSpaceConfig(channels=2, layers=3),
        scheduler=scheduler,
        budget=BudgetConfig(trials=trials, epochs=3),
        weights=WeightsConfig(lr_min=0.0),
        batch_size=8,
        **options,
    )


def problem(config, folder):
    return problem_of(config, lambda: Setting(config, tiny.data(), tiny.CPU, folder, QUIET))


def test_a_promoted_trial_is_bit_for_bit_one_that_was_never_paused(tmp_path):
    config = trained("asha:eta=3", trials=3)
    study = run_study(config, problem(config, tmp_path), tmp_path, QUIET)
    (promoted,) = [trial for trial in study.trials if len(epochs_of(trial)) > 1]
    assert epochs_of(promoted) == [1, 3] and promoted.state == TrialState.COMPLETE
    whole = problem(config, tmp_path).evaluator(best(study).genotype, Budget(3), Trial(tmp_path / "whole"))
    assert {**whole.values} == {name: promoted.user_attrs["values"][name] for name in whole.values}
    paused, straight = (
        load(newest_first(folder / "checkpoints")[0])["task"]
        for folder in (tmp_path / "trials" / str(promoted.number), tmp_path / "whole")
    )
    assert tensors(paused) and all(map(torch.equal, tensors(paused), tensors(straight)))


def tensors(tree):
    if isinstance(tree, torch.Tensor):
        return [tree]
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else []
    return [tensor for child in children for tensor in tensors(child)]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (dict(scheduler="sha"), "`scheduler` is 'sha'; it must be one of none, halving, hyperband, asha, bohb"),
        (dict(scheduler="asha:factor=2"), "asha has no option 'factor'; it has eta, min_epochs"),
        (dict(scheduler="bohb"), "`strategy` is random; the scheduler bohb has its own model: set it to tpe"),
        (dict(stoppers=("mean",)), "`stoppers` is 'mean'; it must be one of median, curve"),
        (dict(scheduler="asha", evaluator="proxy:synflow"), "`evaluator` proxy:synflow trains no architecture"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, options, reason):
    config = replace(trained(), **options)
    with pytest.raises(UserError, match=reason):
        run_study(config, problem(config, tmp_path), tmp_path / "run", QUIET)
    assert not (tmp_path / "run").exists()


def test_a_study_of_ones_own_uses_our_strategies_and_ours_use_optunas_samplers(tmp_path):
    own = optuna.create_study(direction="maximize", sampler=StrategySampler(EVOLUTION, Numbers(), 0))
    own.optimize(lambda trial: int(suggest(trial, Numbers())["a"]), n_trials=30)
    values = [trial.value for trial in own.trials]
    assert sum(values[20:]) > sum(values[:10]), "evolution learns"
    theirs = optuna.create_study(direction="maximize", sampler=optuna.samplers.QMCSampler(seed=0))
    run(Toy(), tmp_path, 12, study=theirs)
    assert len(theirs.trials) == 12 and len({tuple(trial.params.items()) for trial in theirs.trials}) > 6
    assert max(epochs_of(trial)[-1] for trial in theirs.trials) == 9
