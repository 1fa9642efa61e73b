"""The protocol: which runs it makes, what it concludes, its page and checklist; refusals before anything runs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from darts.errors import UserError
from darts.experiments import protocol, runs
from darts.experiments.judgement import judgement, lines
from darts.experiments.published import differences, published_errors
from darts.experiments.runs import Found, Trained
from darts.recipes import BLACKBOX_RECIPES
from genotypes import load
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace

SPACE = DARTSSpace(ImageShape(1, 8, 10))
QUIET = Console(quiet=True)


@pytest.fixture
def made(monkeypatch, tmp_path):
    """Runs that take no time: a list of the names of those that were made."""
    found = []

    def search(config, device, console):
        found.append((config.run.name, config.seed, config.epochs))
        return Found(load("DARTS_V2").named(config.run.name), 30.0)

    def retrain(config, genotype, device, console):
        found.append((config.run.name, config.seed, config.epochs))
        accuracy = 0.9 + 0.01 * config.seed + (0.02 if genotype.hash == load("DARTS_V2").hash else 0)
        return Trained({"test_accuracy": accuracy, "parameters": 1000}, {}, 10.0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(protocol, "search", search)
    monkeypatch.setattr(protocol, "retrain", retrain)
    monkeypatch.setattr(protocol, "space_of", lambda config, device: SPACE)
    return found


def test_runs_results_and_report(made, tmp_path):
    sizes = ["digits", "--searches", "2", "--retrains", "1", "--random", "2", "--final-epochs", "7"]
    console = Console(record=True, width=400)
    protocol.main([*sizes, "--json", "out.json", "--", "--epochs", "4"], console)
    assert made[:2] == [("searched-0", 0, 4), ("searched-1", 1, 4)] and len(made) == 2 + (2 + 2)
    assert ("random-1-retrain-0", 0, 7) in made
    results = json.loads((tmp_path / "out.json").read_text())
    assert results == json.loads((tmp_path / "runs/protocol-digits/protocol.json").read_text())
    assert results["changed"] == {"search": {"epochs": [4, 15]}, "retraining": {"epochs": [7, 20]}}
    assert results["judgement"]["searched"]["mean"] == pytest.approx(0.92)
    assert results["judgement"]["relative_improvement"][0] == pytest.approx(100 * 0.02 / 0.9, abs=1e-4)
    assert results["judgement"]["equal_budget"]["affordable"] == 4, "a search takes as long as 3 trainings"
    assert {"yes", "no"} < {item["answer"] for item in results["checklist"]} | {"in part"}
    printed = console.export_text()
    assert "searched: 92.00 ± 0.00 % test accuracy" in printed and "epochs 4 in place of 15" in printed
    page = (tmp_path / "runs/protocol-digits/report.html").read_text()
    assert "<svg" in page and page.count("<circle") == 4
    assert "Lindauer and Hutter" in page and "recipe digits, seeds 0 to 0; all fields are in protocol.json" in page
    made.clear()
    protocol.main([*sizes[:6], "3", *sizes[7:], "--", "--epochs", "4"], QUIET)
    assert [name for name, *_ in made] == ["random-2-retrain-0"], "the rest is there"
    with pytest.raises(UserError, match="made with `search`"):
        protocol.main(sizes, QUIET)


@pytest.mark.parametrize(
    ("recipe", "figures", "judged", "title"),
    [
        ("segmentation_digits", {"test_pixel_accuracy": 0.9, "test_mean_iou": 0.5}, "test_mean_iou", "test mean IoU"),
        (
            "detection_digits",
            {"test_average_precision": 0.4, "test_average_precision_50": 0.5},
            "test_average_precision_50",
            "test average precision (.5)",
        ),
        (
            "gdas_translation_reversed_digits",
            {"test_accuracy": 0.9, "test_sentence_accuracy": 0.5, "test_perplexity": 1.2},
            "test_sentence_accuracy",
            "test sentence accuracy",
        ),
    ],
)
def test_a_task_is_judged_by_its_own_figure(recipe, figures, judged, title, made, monkeypatch, tmp_path):
    trained = Trained({"test_loss": 0.7, **figures, "parameters": 1000}, {}, 10.0)
    monkeypatch.setattr(protocol, "retrain", lambda config, genotype, device, console: trained)
    console = Console(record=True, width=400)
    protocol.main([recipe, "--searches", "2", "--retrains", "1", "--random", "2"], console)
    results = json.loads((tmp_path / f"runs/protocol-{recipe}/protocol.json").read_text())
    assert results["architectures"]["random"][1][judged] == [0.5] and results["judgement"]["figure"] == judged
    assert results["judgement"]["searched"]["mean"] == 0.5
    assert f"searched: 50.00 ± 0.00 % {title} (2 architectures)" in console.export_text()
    assert title[1:] in (tmp_path / f"runs/protocol-{recipe}/report.html").read_text()


def test_a_baseline_is_trained_first_and_as_often_as_there_are_searches(made, tmp_path):
    sizes = ["digits", "--searches", "2", "--retrains", "1", "--random", "2", "--baseline", "DARTS_V1"]
    console = Console(record=True, width=400)
    protocol.main(sizes, console)
    baseline = f"baseline-{load('DARTS_V1').hash[:8]}"
    assert made[:3] == [(f"{baseline}-retrain-0", 0, 20), (f"{baseline}-retrain-1", 1, 20), ("searched-0", 0, 15)]
    results = json.loads((tmp_path / "runs/protocol-digits/protocol.json").read_text())
    assert results["settings"]["baseline"] == "DARTS_V1"
    assert [each["name"] for each in results["architectures"]["baseline"]] == [baseline]
    assert results["architectures"]["random"][1]["seed"] == 1
    assert "baseline: 90.50 ± 0.71 % test accuracy (2 trainings)" in console.export_text()
    page = (tmp_path / "runs/protocol-digits/report.html").read_text()
    assert page.count("<circle") == 6 and "the fixed architecture DARTS_V1 beside them" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digitz"], "no recipe 'digitz'; the nearest: digits"),
        (["digits", "--searches", "1"], "`searches` is 1; it must be 2 or more"),
        (["digits", "--final", "none"], "no recipe 'none'; python train_final.py --help lists all"),
        (["digits", "--", "--method.name", "dartz"], "`method.name` is 'dartz'"),
        (["digits", "--", "--epoch", "3"], "unknown option --epoch; the nearest"),
        (["darts_recurrent_text"], "searches a language model, whose perplexity is not judged"),
        (["random_digits", "--", "--tune", "batch_size=32,64"], "leave out `tune`, `seeds` and `study`"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(arguments, message, made, tmp_path):
    with pytest.raises(UserError, match=message):
        protocol.main(arguments, QUIET)
    assert not made and not any(tmp_path.iterdir())


def test_a_larger_budget_of_a_search_without_gradients_is_another_protocol():
    few, many = (protocol.search_config("random_digits", ["--budget.trials", count]) for count in ("2", "3"))
    assert protocol._of_protocol(few) != protocol._of_protocol(many)
    assert protocol._of_protocol(few) == protocol._of_protocol(replace(few, seed=5))


def architecture(*accuracies, seconds=0.0):
    return {"test_accuracy": accuracies, "retrain_seconds": [10.0] * len(accuracies), "search_seconds": seconds}


def test_the_best_random_architecture_is_judged_by_other_trainings_than_chose_it():
    """All random architectures are alike: the best by chance of one training is no better in the others."""
    generator = np.random.default_rng(0)
    random = [architecture(*(0.9 + 0.01 * generator.standard_normal(3))) for _ in range(60)]
    found = judgement({"searched": [architecture(0.9, 0.9, 0.9, seconds=1e6)] * 2, "random": random})
    assert found["equal_budget"]["best_of"] == 60 and abs(found["equal_budget"]["gap"]) < 0.006
    once = judgement(
        {
            "searched": [architecture(0.9, seconds=1e6)] * 2,
            "random": [architecture(a["test_accuracy"][0]) for a in random],
        }
    )
    assert once["equal_budget"]["gap"] < -0.015 and not once["equal_budget"]["independent"]
    text = list(lines({"judgement": once, "changed": {"search": {}, "retraining": {}}, "published": None}))
    assert "best of 60" in text[-1] and "chosen and judged by one" in text[-1] and "as many as were trained" in text[-1]


def test_a_random_architecture_that_learns_nothing():
    found = judgement({"searched": [architecture(1.0)] * 3, "random": [architecture(0.0), architecture(1.0)]})
    assert found["relative_improvement"] is None and found["random"]["mean"] == 0.5
    text = list(lines({"judgement": found, "changed": {"search": {}, "retraining": {}}, "published": None}))
    assert "relative improvement over random architectures: not stated" in text[2]


def test_a_search_without_gradients_is_a_run_of_an_experiment(tmp_path):
    config = BLACKBOX_RECIPES["random_digits"]()
    config = replace(config, evaluator="proxy:parameters", budget=replace(config.budget, trials=2))
    placed = runs.named(config, "searched-0", tmp_path, "cpu")
    found = runs.search(placed, torch.device("cpu"), QUIET)
    assert found.genotype.name == "searched-0" and (tmp_path / "searched-0" / "report.html").is_file()
    final = runs.retraining_of(placed, name="final", seed=3, epochs=2)
    assert (final.recipe, final.seed, final.epochs, final.run.runs) == ("digits", 3, 2, tmp_path)


def test_published_errors_are_those_of_the_recipes():
    found = published_errors()
    assert (found["darts_v1_cifar10"]["test_error"], found["darts_v1_cifar10"]["std"]) == (3.0, 0.14)
    assert (found["pdarts_cifar10"]["test_error"], found["pdarts_cifar10"]["std"]) == (2.5, None)
    assert "digits" not in found and "darts_nasbench201_cifar10" not in found
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == {"b": [2, 3], "c": [None, 4]}
