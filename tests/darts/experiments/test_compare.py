"""The comparison: rows, their summary, going on, and what is drawn at random."""

import json
import statistics

import pytest
from rich.console import Console

from darts.errors import UserError
from darts.experiments.compare import RANDOM, main, random_genotype, summary
from darts.methods import METHODS
from supernet.shapes import ImageShape
from supernet.spaces.darts.space import DARTSSpace

SPACE = DARTSSpace(ImageShape(1, 8, 10))


def row(method, seed, accuracy):
    counts = {"parameters": 100 * seed, "search_seconds": 1.0, "skips_normal": seed, "skips_reduce": 0}
    return {"method": method, "seed": seed, "test_accuracy": accuracy, **counts}


def test_summary_has_the_spread_over_seeds():
    rows = [row("darts", 0, 0.9), row("gdas", 0, 0.8), row("darts", 1, 0.96), row("darts", 2, 0.93)]
    darts, gdas = summary(rows)
    assert darts["method"] == "darts" and darts["seeds"] == 3
    assert darts["test_accuracy"] == pytest.approx(0.93)
    assert darts["test_accuracy_std"] == pytest.approx(statistics.stdev([0.9, 0.96, 0.93]))
    assert darts["skips_normal"] == 1 and darts["parameters"] == 100
    assert gdas["test_accuracy_std"] is None


def test_random_architectures_follow_the_rules_of_the_space():
    drawn = [random_genotype(SPACE, seed) for seed in range(200)]
    assert len({genotype.hash for genotype in drawn}) == 200 and random_genotype(SPACE, 3) == drawn[3]
    ops = set()
    for genotype in drawn:
        for cell in (genotype.normal, genotype.reduce):
            for node in cell.nodes:
                assert len(node) == 2 and node[0].source != node[1].source
                ops |= {edge.op for edge in node}
    assert ops == set(SPACE.candidates) - {"none"}


def test_a_comparison_is_made_once_and_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["--epochs", "1", "--final-epochs", "1", "--channels", "4", "--json", "figures.json", "--device", "cpu"]
    main(["--methods", "gdas", "--seeds", "0", *small], Console(quiet=True))
    first = json.loads((tmp_path / "figures.json").read_text())
    assert [(each["method"], each["seed"]) for each in first["rows"]] == [("gdas", 0)]
    main(["--methods", "gdas", RANDOM, "--seeds", "0", *small], Console(quiet=True))
    second = json.loads((tmp_path / "figures.json").read_text())
    assert second["rows"][0] == first["rows"][0] and second["rows"][1]["method"] == RANDOM
    assert [each["method"] for each in second["table"]] == ["gdas", RANDOM]
    assert second["rows"][1]["search_seconds"] == 0 < second["rows"][0]["search_seconds"]
    with pytest.raises(UserError, match="figures.json: made with"):
        main(["--methods", "gdas", "--seeds", "0", *small, "--epochs", "2"], Console(quiet=True))


def test_an_unknown_method_is_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--method.name is 'dartz'"):
        main(["--methods", "darts", "dartz"], Console(quiet=True))
    assert not any(tmp_path.iterdir()) and set(METHODS) > {"darts"}
