"""Strategies through Optuna: the study's records restore them, and a trial holds what takes part alone."""

import optuna
import pytest
from optuna.trial import TrialState

from darts.blackbox.per_trial import PerTrialSampler
from darts.blackbox.points import ArchitectureDecisions
from darts.blackbox.samplers import OPTUNA, StrategySampler, suggest
from darts.blackbox.strategies import STRATEGIES, RegularizedEvolution
from darts.errors import UserError
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace
from supernet.spaces.nasbench201 import NASBench201Space
from tests import tiny

DECISIONS = ArchitectureDecisions(NASBench201Space(ImageShape(3, 32, 10)))


def value_of(genotype):
    """Convolutions are good, the others are not."""
    return sum("conv" in op for op in genotype.ops) / 6 - 0.01 * genotype.ops.count("none")


def run(study, count, fails=()):
    for _ in range(count):
        trial = study.ask()
        genotype = DECISIONS.genotype(suggest(trial, DECISIONS))
        if trial.number in fails:
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, value_of(genotype))


def study_of(strategy, storage=None, seed=1, direction="maximize"):
    sampler = StrategySampler(strategy, DECISIONS, seed)
    return optuna.create_study(
        storage=storage, study_name="s", sampler=sampler, direction=direction, load_if_exists=True
    )


def points(study):
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_study_in_parts_asks_for_the_points_of_a_whole_one(name):
    whole = study_of(STRATEGIES[name])
    run(whole, 40, fails=(3, 17))
    storage = optuna.storages.InMemoryStorage()
    for count in (11, 9, 20):
        run(study_of(STRATEGIES[name], storage), count, fails=(3, 17))
    assert points(study_of(STRATEGIES[name], storage)) == points(whole)
    other = study_of(STRATEGIES[name], seed=2)
    run(other, 40, fails=(3, 17))
    assert STRATEGIES[name].enumerates or points(other) != points(whole)


def test_a_strategy_is_better_than_chance():
    best = {}
    for name in ("random", "evolution", "local_search"):
        strategy = RegularizedEvolution(10, 3) if name == "evolution" else STRATEGIES[name]
        study = study_of(strategy)
        run(study, 80)
        best[name] = study.best_value
    assert best["evolution"] == best["local_search"] == 1.0 > best["random"]


def test_a_value_to_minimize_is_turned():
    study = study_of(RegularizedEvolution(10, 3), direction="minimize")
    for _ in range(80):
        trial = study.ask()
        study.tell(trial, -value_of(DECISIONS.genotype(suggest(trial, DECISIONS))))
    assert study.best_value == -1.0


def test_parameters_of_another_kind_are_drawn():
    study = study_of(RegularizedEvolution(3, 2))
    for _ in range(8):
        trial = study.ask()
        suggest(trial, DECISIONS)
        rate = trial.suggest_float("lr", 1e-3, 1e-1, log=True)
        study.tell(trial, rate)
    assert len({trial.params["lr"] for trial in study.trials}) == 8


@pytest.mark.parametrize("name", OPTUNA)
def test_samplers_of_optuna_search_the_same_space(name):
    study = optuna.create_study(direction="maximize", sampler=OPTUNA[name](0))
    run(study, 14)
    assert len({tuple(trial.params.items()) for trial in study.trials}) > 5


def test_a_trial_holds_the_inputs_and_operations_that_are_kept():
    space = DARTSSpace(ImageShape(3, 32, 10))
    decisions = ArchitectureDecisions(space)
    study = optuna.create_study(sampler=StrategySampler(STRATEGIES["random"], decisions))
    for _ in range(20):
        trial = study.ask()
        genotype = decisions.genotype(suggest(trial, decisions))
        study.tell(trial, 0.0)
        for cell in (genotype.normal, genotype.reduce):
            assert [len({edge.source for edge in edges}) for edges in cell.nodes] == [2, 2, 2, 2]
            assert all(edge.op != "none" for edges in cell.nodes for edge in edges)
        assert len(trial.params) == 2 * (3 + 8), "the first node has no choice of inputs"
        assert space.derive(space.picks(genotype)) == genotype


def test_a_choice_in_a_candidate_that_is_not_kept_is_no_parameter():
    space = tiny.ModuleSpace(tiny.Model())
    decisions = ArchitectureDecisions(space)
    study = optuna.create_study(sampler=StrategySampler(STRATEGIES["random"], decisions))
    seen = set()
    for _ in range(30):
        trial = study.ask()
        genotype = decisions.genotype(suggest(trial, decisions))
        study.tell(trial, 0.0)
        names = {name.partition("/")[0] for name in trial.params}
        assert names == {label for label, _ in genotype.picks}
        assert ("activation" in names) == (genotype["block"] == ("deep",))
        seen.add("activation" in names)
    assert seen == {True, False}


def test_records_that_a_sampler_of_optuna_cannot_read_are_one_line(monkeypatch):
    def read(self, study, trial):
        raise TypeError("'<' not supported\nbetween 'str' and 'int'")

    monkeypatch.setattr(optuna.samplers.NSGAIISampler, "infer_relative_search_space", read)
    study = optuna.create_study(sampler=PerTrialSampler(OPTUNA["nsga2_optuna"], 0, [1]))
    with pytest.raises(
        UserError, match="the sampler cannot read the study's records .*; choose another `run.name`"
    ) as error:
        run(study, 1)
    assert "\n" not in str(error.value)
