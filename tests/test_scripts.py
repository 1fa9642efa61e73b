"""Both scripts from end to end, and a user's mistakes: one line, exit code 2, nothing on disk harmed."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import genotypes
import train_final
import train_search
from darts.artifacts.run_record import read_record
from darts.cli import fields_as_options
from darts.methods import METHODS
from darts.recipes.registry import FINAL_RECIPES, SEARCH_RECIPES
from darts.retraining.export import rebuilt
from genotypes.errors import InputError
from supernet.network import count_parameters
from supernet.shapes import ImageShape
from tests import scripts

TINY = ["--epochs", 1, "--max-steps", 2, "--batch-size", 16]
SMALL_SEARCH = [*TINY, "--space.channels", 2, "--space.layers", 3, "--space.nodes", 2]
SMALL_FINAL = [*TINY, "--space.channels", 2, "--space.layers", 3]


def test_search_then_retrain_the_newest(tmp_path):
    code, out, err = scripts.run("train_search.py", *SMALL_SEARCH, cwd=tmp_path, imports=True)
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

    code, out, err = scripts.run("train_final.py", *SMALL_FINAL, cwd=tmp_path, imports=True)
    assert code == 0, err
    (final,) = (tmp_path / "runs").glob("final-*")
    metrics = json.loads((final / "metrics.json").read_text())
    assert 0 <= metrics["test_accuracy"] <= 1 and metrics["genotype_hash"] == genotype.hash
    assert metrics["parameters"] > 0 and metrics["data"] == "digits" and metrics["classes"] == list("0123456789")
    assert f"test accuracy {100 * metrics['test_accuracy']:.2f} %" in out
    network, shape = rebuilt(read_record(final))
    assert count_parameters(network.network) == metrics["parameters"] and shape == ImageShape(1, 8, 10)
    assert "Retraining: " in (folder / "report.html").read_text()


def test_a_cell_without_a_path_is_said_before_it_is_trained(tmp_path):
    for first, warned in (("none", True), ("nor_conv_1x1", False)):
        cell = f"|{first}~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|"
        options = ["nasbench201_digits201", "--genotype", cell, "--epochs", 1, "--max-steps", 1, "--name", first]
        code, out, err = scripts.run("train_final.py", *options, cwd=tmp_path)
        assert code == 0, err
        assert ("warning: no path leads from the input of this architecture to its output" in out) is warned


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
        ("train_search.py", ["--device", "cuda:7"], "--device is cuda:7: not available ("),
        (
            "train_search.py",
            ["--name", "a/b"],
            "--name is 'a/b'; it must be the name of a folder, without a path: set --runs too",
        ),
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--logits.betas", 1, 1], "--logits.betas is 1.0; it must be in [0, 1)"),
        (["--logits.betas", "inf", 0.5], "--logits.betas is inf; it must be in [0, 1)"),
        (["--method.stages"], "--method.stages is empty"),
        (["--logits.weight-decay", 1e308], "--logits.weight-decay is 1e+308"),
        (["--device", "meta"], "--device is meta"),
        (["--data.crop-padding", 2**63], "--data.crop-padding is 9223372036854775808; it must be at most"),
        (["--batch-size", 2**63 - 1], "--batch-size is 9223372036854775807; it must be at most"),
        (["--space.channels", 10**21], "--space.channels is 1000000000000000000000; it must be at most"),
        (["--space.nodes", 1_000_000], "--space.nodes is 1000000; it must be at most"),
        (["--seed", 2**64], "--seed is 18446744073709551616; it must be from 0 to"),
        (["--seed", 2**70], "--seed is 1180591620717411303424; it must be from 0 to"),
    ],
)
def test_values_that_cannot_be(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        scripts.said(train_search, *arguments)
    told = fields_as_options(str(error.value))
    assert message in told and "\n" not in told and not list(tmp_path.iterdir())


def test_brackets_large_seeds_and_a_second_choice_of_candidates(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = [*SMALL_SEARCH, "--runs", "exp[/a] b:c", "--name", "[bold]ä", "--seed", 2**64 - 2**32 - 1]
    ranked = [*run, "--rerank", 1]
    del ranked[ranked.index("--max-steps") : ranked.index("--max-steps") + 2]
    out = scripts.said(train_search, *ranked, "--rerank-epochs", 1)
    assert "in exp[/a] b:c/[bold]ä: report.html" in out and "--genotype 'exp[/a] b:c/[bold]ä/genotype.json'" in out
    assert "after 2 epochs" in scripts.said(train_search, *ranked, "--rerank-epochs", 2, "--resume")


def test_a_retraining_from_another_folder_finds_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scripts.write_images(tmp_path / "set.npz", size=8)
    scripts.said(train_search, "darts_npz", "--data.root", "set.npz", *SMALL_SEARCH, "--name", "run")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    final = ["--genotype", "../runs/run", *SMALL_FINAL, "--data.cutout", 0]
    assert "test accuracy" in scripts.said(train_final, *final)


def test_a_folder_whose_name_is_not_utf_8(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = Path(os.fsdecode(b"bild\xe4r"))
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for index in range(8):
            pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    size = [*SMALL_SEARCH, "--batch-size", 4]
    for extra in ([], ["--resume"]):
        out = scripts.said(train_search, "darts_folder", "--data.root", root, *size, "--name", "x", *extra)
        assert "--data.root $'bild\\xe4r'" in out and (tmp_path / "runs" / "x" / "report.html").exists()
    assert "test accuracy" in scripts.said(train_final, *SMALL_FINAL, "--batch-size", 4, "--data.cutout", 0)


@pytest.mark.parametrize("wait", [0.2, 1.0])
def test_ctrl_c_while_importing_is_silent(wait, tmp_path):
    process = scripts.start("train_search.py", cwd=tmp_path, imports=True)
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err and len(err.splitlines()) <= 1 and process.returncode in (-signal.SIGINT, 130), out


def test_a_genotype_stands_on_the_command_line(tmp_path):
    """As text it is longer than the name of a file can be."""
    text = genotypes.describe(genotypes.load("DARTS_V2"))
    scripts.write_images(tmp_path / "set.npz")
    size = ["--data.root", "set.npz", "--space.channels", 2, "--space.layers", 3, "--batch-size", 6, "--max-steps", 1]
    code, _, err = scripts.run("train_final.py", "darts_npz", *size, "--genotype", text, "--name", "x", cwd=tmp_path)
    assert code == 0 and len(text) > 255, err
    recorded = json.loads((tmp_path / "runs" / "x" / "config.json").read_text())["config"]["genotype"]
    assert recorded == text and genotypes.load(str(tmp_path / "runs" / "x")).hash == genotypes.load("DARTS_V2").hash
