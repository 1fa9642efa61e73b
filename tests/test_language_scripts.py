"""Both scripts on running text: search, retrain, go on after a cut, inherit weights, report, refuse mistakes."""

import json

import pytest
import torch

import train_final
import train_search
from darts.artifacts.checkpoint import newest_first
from darts.cli import fields_as_options
from darts.errors import UserError
from genotypes import load
from genotypes.types.recurrent import RecurrentGenotype
from supernet.errors import SpaceError
from tests import scripts, stories
from tests.test_resume import timeless

SIZE = ["--space.channels", 6, "--language.length", 6, "--batch-size", 8, "--epochs", 2]
SEARCH = ["darts_recurrent_text", *SIZE, "--space.nodes", 2, "--report-every", 2]
TEXTNET = ["--data.root", "text.txt", "--space.name", "textnet", "--space.nodes", "None"]
FILES = ["genotype.json", "metrics.json", "cells.svg", "log.jsonl"]


def test_search_retrain_and_inherit_on_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stories.write_file(tmp_path / "text.txt", 120)
    data = ["--data.root", "text.txt"]
    for runs, cuts in (("whole", [[]]), ("cut", [["--max-steps", 5], ["--max-steps", 9], []])):
        for cut in cuts:
            out = scripts.said(train_search, *SEARCH, *data, *cut, "--runs", runs, "--name", "run", "--resume")
    whole, cut = tmp_path / "whole" / "run", tmp_path / "cut" / "run"
    assert "valid perplexity" in out and "train_final.py recurrent_text --genotype cut/run/genotype.json" in out
    for name in FILES[:3]:
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    last = [newest_first(folder / "checkpoints")[0].read_bytes() for folder in (whole, cut)]
    assert last[0] == last[1] and timeless(whole) == timeless(cut)
    genotype = load(whole)
    assert type(genotype) is RecurrentGenotype and len(genotype.nodes) == 2
    assert all("valid_loss" in row for row in json.loads((whole / "genotypes.json").read_text()))

    final = ["--genotype", "whole/run", *SIZE, *data, "--average-after", 0]
    for runs, cuts in (("whole", [[]]), ("cut", [["--max-steps", 7], []])):
        for cut in cuts:
            out = scripts.said(
                train_final, "recurrent_text", *final, *cut, "--runs", runs, "--name", "final", "--resume"
            )
    finals = tmp_path / "whole" / "final", tmp_path / "cut" / "final"
    for name in ("metrics.json", "weights.pt"):
        assert (finals[0] / name).read_bytes() == (finals[1] / name).read_bytes(), name
    figures = json.loads((finals[0] / "metrics.json").read_text())
    assert f"test perplexity {figures['test_perplexity']:.2f}" in out and figures["genotype_hash"] == genotype.hash
    vocabulary = torch.load(finals[0] / "weights.pt", weights_only=True)["vocabulary"]
    assert len(vocabulary) > 5 and sorted(vocabulary.values()) == list(range(len(vocabulary)))
    for page in (finals[0] / "report.html", whole / "report.html"):
        assert "test perplexity" in page.read_text() and "Perplexity" in page.read_text()
    out = scripts.said(
        train_final, "recurrent_text", *final, "--inherit", "whole/run", "--epochs", 1, "--name", "inherited"
    )
    assert "test perplexity" in out


def test_candidates_are_ranked_by_their_loss(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stories.write_folder(tmp_path / "ptb", counts=(60, 30, 30))
    size = [*SEARCH, "--data.name", "ptb", "--data.root", "ptb", "--candidates", 2, "--candidate-epochs", 1]
    out = scripts.said(train_search, *size, "--name", "run")
    rows = json.loads((tmp_path / "runs" / "run" / "candidates.json").read_text())
    assert [row["valid_loss"] for row in rows] == sorted(row["valid_loss"] for row in rows) and "loss" in out
    assert "train_final.py recurrent_ptb" in out


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        (train_search, ["--data.root", "."], "no training text in this folder; one of ptb.train.txt"),
        (train_search, ["--data.root", "one.txt"], "one.txt: 0 words for the valid part are too few"),
        (train_search, ["--data.root", "text.txt", "--batch-size", 999], "tokens are too few for 999 streams"),
        (train_search, TEXTNET, "reads sentences with labels"),
        (train_search, ["--data.root", "text.txt", "--language.dropout.hidden", 1], "--language.dropout.hidden is 1.0"),
        (train_search, ["--data.root", "text.txt", "--language.held-out", 0.5], "--language.held-out is 0.5"),
        (train_search, ["--data.root", "text.txt", "--method.name", "pc_darts"], "partial channels do not apply to"),
        (
            train_final,
            ["--data.root", "text.txt", "--genotype", "DARTS_V1"],
            "--space.name is recurrent, which the genotype",
        ),
        (train_final, ["--data.root", "text.txt", "--genotype", "cell.txt"], "cell.txt: line 1, nodes[1].from"),
        (train_final, ["--data.root", "text.txt", "--genotype", "cell2.txt", "--auxiliary", 0.4], "no auxiliary head"),
        (train_final, ["--data.root", "text.txt", "--genotype", "cell2.txt", "--label-smoothing", 0.1], "no classif"),
    ],
)
def test_mistakes(script, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stories.write_file(tmp_path / "text.txt", 150)
    (tmp_path / "one.txt").write_text("word")
    (tmp_path / "cell.txt").write_text("Genotype(recurrent=[('tanh', 0), ('relu', 5)], concat=range(1, 3))")
    (tmp_path / "cell2.txt").write_text("Genotype(recurrent=[('tanh', 0), ('relu', 1)], concat=range(1, 3))")
    before = sorted(tmp_path.iterdir())
    recipe = "darts_recurrent_text" if script is train_search else "recurrent_text"
    with pytest.raises((UserError, SpaceError, ValueError)) as error:
        scripts.said(script, recipe, *arguments)
    told = fields_as_options(str(error.value))
    assert message in told and "\n" not in told
    assert sorted(tmp_path.iterdir()) == before
