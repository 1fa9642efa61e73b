"""Mistakes in ``train_search.py auto`` and ``train_final.py predict`` name what the command line has."""

import io

import pytest
from rich.console import Console

from darts.automatic.command import fit_command, predict_command
from darts.errors import UserError


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "`data.root` .*data.csv: no such file or folder"), ("a,b\n1,x\n2,x\n", "`data.target` has one class only")],
)
def test_a_file_that_nothing_can_be_learned_from(content, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data.csv"
    if content:
        path.write_text(content)
    with pytest.raises(UserError, match=reason):
        fit_command(["--data.root", str(path), "--budget", "20s"], Console(file=io.StringIO()))
    assert not list((tmp_path / "runs").glob("*/model.pt"))


def test_predictions_of_no_run(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        predict_command([str(tmp_path), "x.csv"], Console(file=io.StringIO()))
