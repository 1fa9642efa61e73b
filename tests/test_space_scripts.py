"""Both scripts in every space that is not DARTS's: search, retrain, the true figures of a table, inherited weights."""

import itertools
import json
import random

import pytest
from rich.console import Console

import train_final
import train_search
from darts.benchmarks.nasbench201 import DATA
from darts.cli import fields_as_options
from darts.errors import UserError
from darts.processes import SINGLE_PROCESS
from genotypes import GenotypeError, load
from genotypes.types.nasbench201 import EDGES, NASBENCH201_OPS, NASBench201Genotype
from supernet.errors import SpaceError
from supernet.spaces import SPACES
from tests import scripts

TINY = ["--epochs", 1, "--max-steps", 2, "--batch-size", 16]


def write_sentences(path, count=120):
    """Sentences of a small grammar: subject, adverb, verb; the verb decides the label."""
    rng = random.Random(0)
    verbs = {"animal": ["runs", "sleeps", "eats"], "machine": ["rattles", "rusts", "beeps"]}
    lines = []
    for k in range(count):
        label = ("animal", "machine")[k % 2]
        words = [rng.choice(["the", "this", "my"]), rng.choice(["thing", "one"]), rng.choice(["often", "never"])]
        lines.append(f'"{" ".join(words)} {rng.choice(verbs[label])}.",{label}')
    path.write_text("\n".join(lines) + "\n")


def write_cifar10(folder):
    """The official binary version in small."""
    rng = random.Random(0)
    for name in [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]:
        (folder / name).write_bytes(b"".join(bytes([k % 10]) + rng.randbytes(3072) for k in range(20)))


def write_table(path):
    columns = [f"{d}_{split}_acc" for d in DATA for split in ("valid", "test")]
    lines = [",".join(["index", "arch_str", *columns])]
    for index, ops in enumerate(itertools.product(NASBENCH201_OPS, repeat=len(EDGES))):
        lines.append(",".join([str(index), str(NASBench201Genotype(ops)), *[str(index / 200)] * len(columns)]))
    path.write_text("\n".join(lines))


def last_line(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()][-1]


def test_nasbench201_with_its_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_cifar10(tmp_path)
    write_table(tmp_path / "table.csv")
    size = ["--space.channels", 2, "--space.layers", 1]
    arguments = ["darts_nasbench201_cifar10", "--data.root", ".", "--table", "table.csv", *TINY, *size, "--name", "run"]
    out = scripts.said(train_search, *arguments)
    folder = tmp_path / "runs" / "run"
    genotype, figures = load(folder), json.loads((folder / "metrics.json").read_text())
    assert f"{genotype}\ntrue accuracy {100 * figures['true_valid_accuracy']:.2f} % validation" in out
    index = sum(5 ** (5 - k) * NASBENCH201_OPS.index(op) for k, op in enumerate(genotype.ops))
    assert figures["true_rank"] == last_line(folder)["true_rank"] == 15_625 - index
    assert figures["true_test_accuracy"] == pytest.approx(index / 200 / 100)
    assert "train_final.py nasbench201_cifar10 --genotype runs/run/genotype.json --data.root ." in out
    assert "by nasbench201_cifar10 " in scripts.said(train_final, *TINY, *size, "--inherit", "runs/run")


@pytest.mark.parametrize("name", ["nasbench201", "convnet", "textnet", "vit"])
def test_search_retrain_and_inherit(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = ["--data.root", "set.csv"] if name == "textnet" else []
    write_sentences(tmp_path / "set.csv")
    recipe = f"darts_{name}_{'csv' if name == 'textnet' else 'digits'}"
    size = ["--space.channels", 4, "--space.layers", 1]
    scripts.said(train_search, recipe, *data, *TINY, *size, "--name", "run")
    assert type(load(tmp_path / "runs" / "run")) is SPACES[name].genotype
    for extra in ([], ["--inherit", "runs/run"]):
        assert "test accuracy" in scripts.said(train_final, *TINY, *size, *extra)
    if name != "nasbench201":
        with pytest.raises(UserError, match="`drop_path` is 0.3, but the network .* has no paths to drop; set"):
            train_final.main(["--genotype", "runs/run", "--drop-path", "0.3"], Console(quiet=True), SINGLE_PROCESS)


def test_sentences_of_a_grammar_are_told_apart(tmp_path, monkeypatch):
    """The verb decides the label; either label alone is right in half of the sentences."""
    monkeypatch.chdir(tmp_path)
    write_sentences(tmp_path / "set.csv", 300)
    data = ["--data.root", "set.csv", "--batch-size", 8]
    scripts.said(train_search, "darts_textnet_csv", *data, "--epochs", 3, "--name", "run")
    scripts.said(train_final, "textnet_csv", *data, "--epochs", 6, "--genotype", "runs/run", "--name", "final")
    assert json.loads((tmp_path / "runs" / "final" / "metrics.json").read_text())["test_accuracy"] >= 0.95


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        (train_search, ["--space.name", "dart"], "--space.name is 'dart'; it must be one of darts, nasbench201"),
        (train_search, ["--table", "t.csv"], "--benchmark.file t.csv: there is no table of space darts on digits"),
        (
            train_search,
            ["darts_convnet_digits", "--method.name", "pc_darts"],
            "partial channels are not for a model",
        ),
        (train_search, ["darts_nasbench201_digits", "--space.nodes", 5], "NAS-Bench-201's cell has 4 states"),
        (train_search, ["darts_convnet_digits", "--drop-path", 0.2], "dropped edges need operations"),
        (train_final, ["--genotype", "|none~0|"], "1 blocks, allowed 3 blocks"),
        (
            train_final,
            ["nasbench201_digits", "--genotype", "DARTS_V1"],
            "--space.name is nasbench201, which the genotype",
        ),
        (train_final, ["--genotype", "DARTS_V1", "--inherit", "absent"], "--inherit is absent: it must be"),
    ],
)
def test_mistakes(script, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UserError, SpaceError, GenotypeError)) as error:
        script.main([str(argument) for argument in arguments], Console(quiet=True), SINGLE_PROCESS)
    told = fields_as_options(str(error.value))
    assert message in told and "\n" not in told
    assert not list(tmp_path.iterdir())
