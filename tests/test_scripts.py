"""Both scripts from end to end, and a user's mistakes: one line, exit code 2, nothing on disk harmed."""

import json

import pytest

import genotypes
from darts.artifacts.run_record import read_record
from darts.methods import METHODS
from darts.recipes.registry import FINAL_RECIPES, SEARCH_RECIPES
from darts.retraining.export import rebuilt
from supernet.network import count_parameters
from supernet.shapes import ImageShape
from tests import scripts

TINY = ["--epochs", 1, "--max-steps", 2, "--batch-size", 16]
SMALL_SEARCH = [*TINY, "--space.channels", 2, "--space.layers", 3, "--space.nodes", 2]
SMALL_FINAL = [*TINY, "--space.channels", 2, "--space.layers", 3]


def test_search_then_retrain_the_newest(tmp_path):
    code, out, err = scripts.run("train_search.py", *SMALL_SEARCH, cwd=tmp_path)
    assert code == 0, err
    folder = tmp_path / "runs" / "search-digits-seed2"
    made = {path.name for path in folder.iterdir()}
    assert made == {
        "cells.svg",
        "checkpoints",
        "config.json",
        "gates.svg",
        "genotype.json",
        "genotypes.json",
        "log.jsonl",
        "metrics.json",
        "report.html",
        "tensorboard",
    }
    assert any((folder / "tensorboard").iterdir())
    (line,) = [line for line in out.splitlines() if line.startswith("data ")]
    assert "1,437 training, 360 test images of 8x8, 1 channel; 10 classes (0 178, 1 182, " in line
    assert (
        f"now type:  python {scripts.ROOT}/train_final.py digits --genotype runs/search-digits-seed2/genotype.json"
        in out
    )
    config = json.loads((folder / "config.json").read_text())
    assert config["config"]["space"]["channels"] == 2 and config["machine"]["torch"]
    genotype = genotypes.load(folder)
    epoch = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()][-1]
    assert genotypes.from_text(epoch["genotype"]) == genotype

    code, out, err = scripts.run("train_final.py", *SMALL_FINAL, cwd=tmp_path)
    assert code == 0, err
    (final,) = (tmp_path / "runs").glob("final-*")
    metrics = json.loads((final / "metrics.json").read_text())
    assert 0 <= metrics["test_accuracy"] <= 1 and metrics["genotype_hash"] == genotype.hash
    assert metrics["parameters"] > 0 and metrics["data"] == "digits" and metrics["classes"] == list("0123456789")
    assert f"test accuracy {100 * metrics['test_accuracy']:.2f} %" in out
    network, shape = rebuilt(read_record(final))
    assert count_parameters(network.network) == metrics["parameters"] and shape == ImageShape(1, 8, 10)
    assert "Retraining: " in (folder / "report.html").read_text()


def test_a_search_on_other_data_is_retrained_on_it(tmp_path):
    scripts.write_images(tmp_path / "set.npz", size=12, classes=2)
    data = ["--data.root", "set.npz"]
    code, out, err = scripts.run("train_search.py", "darts_npz", *data, *SMALL_SEARCH, cwd=tmp_path)
    assert code == 0, err
    assert "train_final.py darts_npz" in out and "--data.root set.npz" in out
    code, out, err = scripts.run("train_final.py", *SMALL_FINAL, cwd=tmp_path)
    assert code == 0, err
    assert "by darts_npz" in out


def test_library_name_and_bfloat16(tmp_path):
    arguments = ["--genotype", "AmoebaNet_A", "--precision", "bfloat16", *SMALL_FINAL]
    code, _, err = scripts.run("train_final.py", *arguments, cwd=tmp_path)
    assert code == 0, err
    assert (tmp_path / "runs" / "final-digits-AmoebaNet_A-seed0" / "metrics.json").exists()


def test_a_taken_name_is_not_written_to(tmp_path):
    for expected in (0, 2):
        code, _, err = scripts.run("train_search.py", "--name", "mine", *SMALL_SEARCH, cwd=tmp_path)
        assert code == expected, err
        content = (tmp_path / "runs" / "mine" / "log.jsonl").read_bytes()
    assert err.startswith("error: runs/mine exists: ") and "--resume" in err
    assert (tmp_path / "runs" / "mine" / "log.jsonl").read_bytes() == content


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("train_search.py", ["darts_v1_cifar10"], "data set cifar10 needs its folder or file: set --data.root"),
        (
            "train_search.py",
            ["darts_v1_cifar10", "--data.root", "absent"],
            "--data.root absent: no such file or folder",
        ),
        ("train_search.py", ["--epochs", 0], "--epochs is 0; it must be more than 0"),
        ("train_search.py", ["--weights.lr", "nan"], "--weights.lr is nan; it must be more than 0"),
        ("train_search.py", ["--space.layers", 2], "--space.layers is 2"),
        ("train_search.py", ["--device", "cuda:7"], "--device cuda:7: not available"),
        ("train_search.py", ["--name", "a/b"], "--name 'a/b': a folder's name"),
        ("train_final.py", [], "no finished search under runs"),
        ("train_final.py", ["--genotype", "DARTS_V3"], "found 'DARTS_V3', allowed 'DARTS_V2' (nearest)"),
        ("train_final.py", ["--genotype", "absent.json"], "absent.json: file: found no such file"),
        ("train_final.py", ["--genotype", "torn.json"], "torn.json: line 1, column 2"),
    ],
)
def test_mistakes(script, arguments, message, tmp_path):
    (tmp_path / "torn.json").write_text("{")
    code, out, err = scripts.run(script, *arguments, cwd=tmp_path)
    assert code == 2, (out, err)
    assert message in err and err.count("\n") == 1 and "Traceback" not in err + out
    assert [path.name for path in tmp_path.iterdir()] == ["torn.json"]


@pytest.mark.parametrize(
    ("script", "recipes"), [("train_search.py", SEARCH_RECIPES), ("train_final.py", FINAL_RECIPES)]
)
def test_help_lists_every_recipe(script, recipes, tmp_path):
    code, out, _ = scripts.run(script, "--help", cwd=tmp_path)
    assert code == 0
    for name, make in recipes.items():
        assert name in out and make.__doc__ and make().recipe == name
    if script == "train_search.py":
        assert all(f"{name}," in " ".join(out.split()) for name in list(METHODS)[:-1])


def test_a_misspelt_option_is_refused(tmp_path):
    code, out, err = scripts.run("train_search.py", "--batch-sise", 3, cwd=tmp_path)
    assert code == 2 and "batch-size" in out + err


def test_a_diverging_run_stops_with_its_last_checkpoint(tmp_path):
    arguments = ["--epochs", 3, "--space.channels", 2, "--space.layers", 3, "--space.nodes", 1, "--report-every", 1]
    arguments += ["--weights.lr", 1e30, "--weights.lr-min", 1e30, "--weights.clip", 1e30, "--name", "run"]
    code, _, err = scripts.run("train_search.py", *arguments, cwd=tmp_path)
    assert code == 2
    assert "lower --weights.lr, or set --on-nan rollback. Last good checkpoint: none" in err and err.count("\n") == 1
