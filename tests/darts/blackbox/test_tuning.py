"""Fields of the configuration tuned beside the architecture: how they are written, refused, searched and used again."""

import json
from dataclasses import replace
from random import Random

import optuna
import pytest

import train_final
from darts.artifacts.tuned import flags, tuned_with
from darts.benchmarks.protocol import Score
from darts.blackbox.evaluators import Problem, Setting, problem_of
from darts.blackbox.points import complete, neighbours
from darts.blackbox.run import run_study, sampler_of, write_study
from darts.blackbox.samplers import OPTUNA
from darts.blackbox.strategies import STRATEGIES
from darts.blackbox.tuning import GRID, TunedDecisions, tuned_of
from darts.config import SearchSpaceConfig, WeightsConfig
from darts.config.blackbox import BlackboxConfig, BudgetConfig
from darts.config.command_line import parse_options
from darts.errors import UserError
from genotypes import GenotypeError, load, write
from tests import tiny
from tests.darts.blackbox.test_objectives import DECISIONS
from tests.darts.blackbox.test_run import QUIET, trials_of
from tests.darts.blackbox.test_strategies import Small

FIELDS = ("weights.lr=log:1e-3..1e-1", "batch_size=32,64,128")


def tuned(*texts, **options):
    return tuned_of(BlackboxConfig(tune=texts, **options))


def test_ranges_and_choices():
    rate, size, momentum, layers, flag, schedule, horizon = tuned(
        *FIELDS, "--weights.momentum=0.5..0.95:0.1", "space.layers=2..4", "weights.nesterov=true,false",
        "weights.schedule=cosine,linear", "weights.horizon=none,5",
    )  # fmt: skip
    assert rate.distribution == optuna.distributions.FloatDistribution(1e-3, 1e-1, log=True)
    assert len(rate.decision().values) == GRID and rate.decision().values[GRID // 2] == "0.01"
    assert size.distribution.choices == (32, 64, 128) and size.decision().values == ("32", "64", "128")
    assert momentum.distribution == optuna.distributions.FloatDistribution(0.5, 0.9, step=0.1)
    assert layers.distribution == optuna.distributions.IntDistribution(2, 4) and len(layers.decision().values) == 3
    assert flag.distribution.choices == (True, False) and schedule.distribution.choices == ("cosine", "linear")
    assert horizon.distribution.choices == (None, 5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("lr=0.1,0.2", "write weights.lr="),
        ("beauty=1,2", "write FIELD=VALUES"),
        ("weights.lr", "write FIELD=VALUES"),
        ("seed=1,2", "seed belongs to the whole search; a trial may choose weights.*, "),
        ("budget.epochs=1,2", "belongs to the whole search"),
        ("weights.lr=fast,slow", "weights.lr is 'fast'; it must be a number"),
        ("weights.lr=-1,1", "`weights.lr` is -1.0; it must be more than 0"),
        ("weights.momentum=0.5..1.5", "`weights.momentum` is 1.5; it must be in"),
        ("weights.lr=0.1", "two or more different values"),
        ("weights.lr=0.1,0.1", "two or more different values"),
        ("weights.lr=2..1", "the first number must be less"),
        ("weights.lr=log:0..1", "a log range begins above 0"),
        ("weights.lr=log:0.1..1:0.1", "has no step"),
        ("weights.lr=0.1..1:5", "its step must be above 0 and at most 0.9"),
        ("weights.lr=0.1..1:1e-320", "its step must be above 0 and at most 0.9"),
        (f"batch_size=8..1{'0' * 400}", "it must be a whole number"),
        ("batch_size=1,8", "`batch_size` is 1; BatchNorm needs 2"),
        ("batch_size=8..16.5", "batch_size is '16.5'; it must be a whole number"),
        ("weights.schedule=a..b", "weights.schedule is not numeric; list its values"),
        ("weights.schedule=cosine,steps", "weights.schedule is 'steps'; it must be one of cosine"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(text, reason):
    with pytest.raises(UserError, match="^`tune`.*" + reason.replace("*", r"\*")):
        tuned(text)


def test_tuning_needs_training_and_one_mention():
    with pytest.raises(UserError, match="`tune` needs architectures that are trained; `evaluator` is benchmark"):
        tuned(*FIELDS, evaluator="benchmark")
    with pytest.raises(UserError, match="has batch_size twice"):
        tuned("batch_size=2,4", "batch-size=4,8")


def test_the_option_may_be_given_several_times():
    words = ["--tune", FIELDS[0], "--tune", FIELDS[1]]
    assert parse_options(BlackboxConfig(), words, "p", "").tune == FIELDS


def test_decisions_on_fields_follow_those_of_the_architecture():
    decisions = TunedDecisions(Small(), tuned(*FIELDS))
    point = complete(decisions, {"b": "1"}, Random(0))
    assert list(point) == ["a", "b", "c", "inner", "weights.lr", "batch_size"]
    found = list(neighbours(decisions, point, Random(0)))
    assert len(found) == 2 + 1 + 3 + 1 + (GRID - 1) + 2
    assert sum(each["weights.lr"] != point["weights.lr"] for each in found) == GRID - 1


def quadratic(settings):
    return -((settings["weights.lr"] - 0.01) ** 2) - (settings["batch_size"] - 64) ** 2 / 1e4


def problem(seen):
    def evaluate(genotype, budget, trial):
        seen.append(dict(trial.settings))
        return Score({"valid_accuracy": 0.9 + quadratic(trial.settings), "parameters": 1.0}, 1.0)

    return Problem(DECISIONS, evaluate)


@pytest.mark.parametrize("strategy", ["evolution:population=4,sample=2", "nsga2:population=3", "tpe"])
def test_a_trial_chooses_and_a_continued_study_chooses_the_same(tmp_path, strategy):
    rows = {}
    for name, counts in (("whole", (7,)), ("parts", (3, 7))):
        for trials in counts:
            config = BlackboxConfig(
                space=SearchSpaceConfig(name="nasbench201"),
                strategy=strategy,
                tune=FIELDS,
                budget=BudgetConfig(trials=trials),
            )
            seen = []
            study = run_study(config, problem(seen), tmp_path / name, QUIET)
            write_study(config, study, tmp_path / name)
        rows[name] = [{key: row[key] for key in ("params", "tuned", "value")} for row in trials_of(tmp_path / name)]
    assert rows["parts"] == rows["whole"] and [row["tuned"] for row in rows["parts"]][3:] == seen
    assert len({row["tuned"]["weights.lr"] for row in rows["whole"]}) > 1
    best = max(rows["whole"], key=lambda row: row["value"])["tuned"]
    assert tuned_with(str(tmp_path / "whole")) == best
    assert json.loads((tmp_path / "whole" / "metrics.json").read_text())["tuned"] == best
    assert flags(best) == ["--weights.lr", str(best["weights.lr"]), "--batch-size", str(best["batch_size"])]


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in ("enas", "rsps", "exhaustive")])
def test_every_strategy_tunes(name):
    config = BlackboxConfig(space=SearchSpaceConfig(name="nasbench201"), strategy=name, tune=FIELDS)
    study = optuna.create_study(direction="maximize", sampler=sampler_of(config, Problem(DECISIONS, None)))
    found = []
    for _ in range(15):
        trial = study.ask()
        point = {}
        while (decision := DECISIONS.following(point)) is not None:
            point[decision.name] = trial.suggest_categorical(decision.name, decision.values)
        found.append({each.path: each.suggest(trial) for each in tuned(*FIELDS)})
        study.tell(trial, quadratic(found[-1]))
    texts = set(tuned(*FIELDS)[0].decision().values)
    assert all(repr(each["weights.lr"]) in texts for each in found) and len({str(each) for each in found}) > 2


def test_a_network_is_trained_with_its_own_values(tmp_path):
    config = BlackboxConfig(
        space=SearchSpaceConfig(channels=2, layers=3),
        tune=("space.channels=2,6", "batch_size=4,8"),
        objectives="accuracy,parameters",
        budget=BudgetConfig(trials=2, epochs=1),
        weights=WeightsConfig(lr_min=0.0),
        seed=3,
    )
    given = problem_of(config, lambda: Setting(config, tiny.data(), tiny.CPU, tmp_path, QUIET))
    write_study(config, run_study(config, given, tmp_path / "r", QUIET), tmp_path / "r")
    for row in trials_of(tmp_path / "r"):
        assert row["state"] == "complete" and row["values"]["parameters"] == row["objectives"]["1"][1]
        wide = replace(config, space=replace(config.space, channels=row["tuned"]["space.channels"]))
        space = problem_of(wide, lambda: Setting(wide, tiny.data(), tiny.CPU, tmp_path, QUIET)).decisions.space  # noqa: B023
        network = space.network(load(row["genotype"]))
        assert sum(weight.numel() for weight in network.parameters()) == row["values"]["parameters"]
    points = json.loads((tmp_path / "r" / "pareto.json").read_text())["points"]
    for number, point in enumerate(points, 1):
        source = f"{tmp_path / 'r' / 'pareto.json'}@{number}"
        assert tuned_with(source) == point["tuned"] and load(source).hash == load(point["genotype"]).hash
    with pytest.raises(GenotypeError, match="point: found 9, allowed 1 to"):
        load(f"{tmp_path / 'r' / 'pareto.json'}@9")


def test_a_retraining_without_a_recipe_has_the_tuned_values(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"kind": "search", "config": {"data": {"name": "digits"}}}))
    text = {"searched": {"tuned": {"weights.lr": 0.0125, "batch_size": 48}}}
    genotype = json.loads(write(load("DARTS_V2")))
    (tmp_path / "genotype.json").write_text(json.dumps({**genotype, **text}))
    config, _ = train_final.parse_retraining(["--genotype", str(tmp_path)])
    assert (config.weights.lr, config.batch_size) == (0.0125, 48)
    config, _ = train_final.parse_retraining(["--genotype", str(tmp_path), "--batch-size", "16"])
    assert (config.weights.lr, config.batch_size) == (0.0125, 16)
    config, _ = train_final.parse_retraining(["digits", "--genotype", str(tmp_path)])
    assert config.batch_size != 48, "a recipe that is named is a protocol of its own"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"weights.lr": "fast"}, "genotype.json: tuned has weights.lr 'fast'; it must be a number"),
        ({"weights": 3}, "genotype.json: tuned has 'weights', which no search tunes"),
        ({"data.root": "/"}, "genotype.json: tuned has 'data.root', which no search tunes"),
        ({"weights.x": 3}, "genotype.json: tuned has 'weights.x', which no search tunes"),
        ({"weights.lr": -1.0}, "`weights.lr` is -1.0; it must be more than 0"),
    ],
)
def test_tuned_values_that_were_edited_are_one_line(values, reason, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"kind": "search", "config": {"data": {"name": "digits"}}}))
    genotype = json.loads(write(load("DARTS_V2")))
    (tmp_path / "genotype.json").write_text(json.dumps({**genotype, "searched": {"tuned": values}}))
    with pytest.raises(UserError, match=reason):
        train_final.parse_retraining(["--genotype", str(tmp_path)])


@pytest.mark.parametrize("name", [name for name in OPTUNA if name != "gp"])
def test_samplers_of_optuna_see_a_range(name):
    study = optuna.create_study(direction="maximize", sampler=OPTUNA[name](0))
    fields = tuned(*FIELDS)
    rates = []
    for _ in range(4):
        trial = study.ask()
        rates.append({each.path: each.suggest(trial) for each in fields}["weights.lr"])
        study.tell(trial, 0.0)
    assert not {repr(rate) for rate in rates} & set(fields[0].decision().values), "not the values of a grid"
