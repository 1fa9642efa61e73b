"""config.json of a run, read back: as it was, and with what a hand may do to it."""

import json

import pytest

from darts.artifacts.run_config import load_search_config
from darts.artifacts.run_record import read_record
from darts.config import to_dict
from darts.errors import UserError
from darts.recipes.registry import SEARCH_RECIPES
from darts.report.page import run_page


def write(folder, config, **rest):
    (folder / "config.json").write_text(json.dumps({"kind": "search", **rest, "config": config}))


def test_every_recipe_is_read_back(tmp_path):
    for make in SEARCH_RECIPES.values():
        config = make()
        write(tmp_path, to_dict(config))
        assert load_search_config(tmp_path) == config


def test_what_is_no_search_is_none(tmp_path):
    assert load_search_config(tmp_path) is None
    for text in ("[" * 5000, '{"kind": "sea', '{"kind": "retrain"}', '{"kind": "search", "x": "\\ud800"}'):
        (tmp_path / "config.json").write_text(text)
        assert load_search_config(tmp_path) is None


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("space", 3, "an object"),
        ("space.channels", True, "a whole number"),
        ("space.partial", 1.5, "a whole number or null"),
        ("data.name", "cifar", "one of digits, .*mnist"),
        ("data.root", 3, "a path or null"),
        ("method.penalties", "zero_one", "a list, each text or null"),
        ("weights.lr", "0.1", "a number"),
    ],
)
def test_an_invalid_field_is_named(field, value, allowed, tmp_path):
    config = to_dict(SEARCH_RECIPES["digits"]())
    *groups, name = field.split(".")
    inner = config
    for group in groups:
        inner = inner[group]
    inner[name] = value
    write(tmp_path, config)
    with pytest.raises(UserError, match=f"config.json: config.{field} is .*must be {allowed}"):
        load_search_config(tmp_path)


LINE = {"event": "epoch", "epoch": 0, "step": 3, "seconds": 1.5, "train_loss": 1e30}
GATES = {"normal": {"candidates": ["a", "b"], "rows": {"x": [0.5, 0.5]}}}


@pytest.mark.parametrize(
    "line",
    [
        [],
        {**LINE, "seconds": "x"},
        {**LINE, "step": None},
        {**LINE, "usage": [3]},
        {**LINE, "gates": {"normal": {"candidates": ["a"], "rows": {"x": [None]}}}},
        {**LINE, "gates": {"normal": {"candidates": ["a"], "rows": {"x": [0.5]}}}},
        {**LINE, "genotype": "\ud800"},
    ],
)
def test_an_invalid_log_is_shown_as_far_as_it_is_valid(line, tmp_path):
    write(tmp_path, to_dict(SEARCH_RECIPES["digits"]()), machine={"device": 3}, command="x")
    lines = [{**LINE, "gates": GATES}, line, {**LINE, "epoch": 2, "gates": GATES}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert "Gates by epoch" in run_page(read_record(tmp_path))


def test_the_command_again_names_the_genotype_and_no_run(tmp_path):
    config = {"seed": 0, "genotype": "runs/a b"}
    command = ["python", "train_final.py", "--name", "x", "--epochs", "2", "--resume"]
    (tmp_path / "config.json").write_text(json.dumps({"kind": "retrain", "config": config, "command": command}))
    assert "<pre>python train_final.py --epochs 2 --genotype &#x27;runs/a b&#x27;</pre>" in run_page(
        read_record(tmp_path)
    )
