"""The comparison: rows, their summary, going on, and what is drawn at random."""

import json
import statistics

import pytest
from rich.console import Console

from darts.errors import UserError
from darts.experiments import compare
from darts.experiments.compare import RANDOM, main, random_genotype
from darts.experiments.results_file import NUMBERS, read_results, summary
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


def test_searches_without_gradients_stand_beside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["--total-epochs", "6", "--final-epochs", "1", "--channels", "4", "--json", "figures.json"]
    main(["--methods", "asha_digits", "--seeds", "1", *small], Console(quiet=True))
    (found,) = json.loads((tmp_path / "figures.json").read_text())["rows"]
    trials = json.loads((tmp_path / "runs/compare/search-asha_digits-seed1/trials.json").read_text())
    assert 4 <= sum(trial["epochs"][-1] for trial in trials) <= 6 and len(trials) > 1
    assert found["method"] == "asha_digits" and found["search_seconds"] > 0
    with pytest.raises(UserError, match="--methods has random_mnist, whose space or data are not those of --recipe"):
        main(["--methods", "random_mnist", *small], Console(quiet=True))


def test_a_method_that_is_named_twice_has_one_row(tmp_path, monkeypatch):
    row = {name: 0 for name in NUMBERS} | {"genotype": "x"}
    ran = []

    def run(config, settings, method, *others):
        ran.append((method, settings.seed))
        return {"method": method, "seed": settings.seed, **row}

    monkeypatch.setattr(compare, "run_row", run)
    words = ["--methods", "darts", "gdas", "darts", "--seeds", "1", "0", "1", "--json", str(tmp_path / "a.json")]
    for _ in range(2):
        main([*words, "--device", "cpu"], Console(quiet=True))
        assert ran == [("darts", 1), ("darts", 0), ("gdas", 1), ("gdas", 0)]


@pytest.mark.parametrize("option", ["--epochs", "--final-epochs", "--channels"])
def test_nothing_is_no_number_of_epochs_or_channels(option):
    with pytest.raises(UserError, match="is 0; it must be more than 0"):
        main([option, "0"], Console(quiet=True))


def test_an_unknown_method_is_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="`method.name` is 'dartz'"):
        main(["--methods", "darts", "dartz"], Console(quiet=True))
    assert not any(tmp_path.iterdir()) and set(METHODS) > {"darts"}


SETTINGS = {"recipe": "digits", "epochs": None, "final_epochs": None, "channels": None}
WHOLE = row("darts", 0, 0.9) | {"retrain_seconds": 1.0, "genotype": "Genotype()"}
ROWS = [{**WHOLE, **change} for change in (
    {"method": 3},
    {"method": None},
    {"method": "a\nb"},
    {"seed": "0"},
    {"seed": True},
    {"seed": 0.5},
    {"test_accuracy": "x"},
    {"test_accuracy": 1.1},
    {"test_accuracy": float("nan")},
    {"parameters": -1},
    {"parameters": None},
    {"search_seconds": float("inf")},
    {"retrain_seconds": [1]},
    {"skips_normal": "many"},
    {"genotype": {}},
)]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff\xfe",
        b"3",
        b"[]",
        b"{}",
        json.dumps({"settings": SETTINGS}).encode(),
        json.dumps({"settings": 3, "rows": []}).encode(),
        json.dumps({"settings": SETTINGS, "rows": {}}).encode(),
        json.dumps({"settings": SETTINGS, "rows": [5]}).encode(),
        json.dumps({"settings": SETTINGS, "rows": [{}]}).encode(),
        json.dumps({"settings": SETTINGS, "rows": [WHOLE, WHOLE]}).encode(),
        json.dumps({"settings": SETTINGS, "rows": [WHOLE, {**WHOLE, "seed": 1, "skips_more": 0}]}).encode(),
        *(json.dumps({"settings": SETTINGS, "rows": [each]}).encode() for each in ROWS),
    ],
)
def test_a_file_that_was_edited_or_damaged_is_refused_in_one_line(content, tmp_path):
    path = tmp_path / "compare.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="compare.json: .*give another name") as refused:
        read_results(path, SETTINGS)
    assert "\n" not in str(refused.value)


def test_a_folder_is_no_file_of_results(tmp_path):
    with pytest.raises(UserError, match="--json"):
        read_results(tmp_path, SETTINGS)


def test_a_file_as_it_is_written_is_read(tmp_path):
    path = tmp_path / "compare.json"
    path.write_text(json.dumps({"settings": SETTINGS, "rows": [WHOLE], "table": "anything", "machine": {}}))
    assert read_results(path, SETTINGS)["rows"] == [WHOLE]
