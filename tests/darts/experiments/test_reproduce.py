"""Published tables rerun: their names, the published figures, our searches beside them."""

import re

import pytest
from rich.console import Console

from darts.errors import UserError
from darts.experiments import reproduce
from darts.experiments.__main__ import COMMANDS
from darts.experiments.__main__ import main as experiments
from darts.experiments.runs import Found
from darts.experiments.tables import one_shot
from darts.recipes.help import about
from genotypes import load

QUIET = Console(quiet=True)
SKIPS = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"


class Table:
    """A benchmark that gives every architecture the same accuracy."""

    def query(self, genotype, data):
        return type("Score", (), {"values": {"test_accuracy": 0.543}})


def test_tables_are_found_by_their_names():
    console = Console(record=True, width=200)
    reproduce.main([], console)
    assert re.search("Tables: nasbench201, darts_v1_cifar10, ", console.export_text())
    with pytest.raises(UserError, match="no published table 'nasbench20'; the nearest: nasbench201"):
        reproduce.main(["nasbench20"], QUIET)
    with pytest.raises(UserError, match=f"no command 'prox'; there are {', '.join(COMMANDS)}"):
        experiments(["prox"], QUIET)


@pytest.mark.parametrize("name", ["rsps_nasbench201", "enas_nasbench201", "darts_nasbench201_cifar10"])
def test_published_figures_are_those_of_the_recipes(name):
    text = about(one_shot.RECIPES[name])
    mean, spread = one_shot.PUBLISHED[name]["cifar10"]
    assert f"{mean:.2f}" in text and (spread is None or f"{spread:.2f}" in text)


def test_without_images_published_figures_stand_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = one_shot.one_shot_rows(one_shot.OneShotOptions(), Table(), QUIET)
    assert [row["note"] for row in rows] == ["not run"] * 5 + ["not among our methods"]
    assert not any(tmp_path.iterdir())


def test_ours_are_looked_up_and_what_was_shortened_is_said(tmp_path, monkeypatch):
    seen = []

    def search(config, device, console):
        seen.append((config.run.name, config.seed))
        return Found(load(SKIPS), 1.0)

    monkeypatch.setattr(one_shot, "search", search)
    names = ("rsps_nasbench201", "gdas_nasbench201_cifar10")
    options = one_shot.OneShotOptions(
        root=tmp_path, recipes=names, searches=2, epochs=3, channels=4, layers=1, runs=tmp_path / "runs", device="cpu"
    )
    rows = {row["method"]: row for row in one_shot.one_shot_rows(options, Table(), QUIET)}
    assert len(seen) == 4 and ("search-rsps_nasbench201-seed1", 1) in seen
    assert rows["rsps_nasbench201"]["ours"]["imagenet16"] == [54.3, 0.0]
    changed = rows["gdas_nasbench201_cifar10"]["changed"]
    assert changed == {"space.channels": [4, 16], "space.layers": [1, 5], "epochs": [3, 250]}
    assert rows["rsps_nasbench201"]["changed"]["budget.epochs"] == [3, 100]
    console = Console(record=True, width=200)
    console.print(one_shot.one_shot_table(list(rows.values())))
    printed = console.export_text()
    assert "54.30 ± 0.00" in printed and "epochs 3 for 250" in printed
    with pytest.raises(UserError, match="`one_shot.recipes` holds 'setn'"):
        one_shot.one_shot_rows(one_shot.OneShotOptions(recipes=("setn",)), Table(), QUIET)
