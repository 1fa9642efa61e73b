"""Mistakes in ``train_search.py auto`` and ``train_final.py predict`` name what the command line has."""

import errno
import io

import pytest
from rich.console import Console

from darts.automatic import command
from darts.automatic.command import fit_command, predict_command
from darts.errors import UserError
from darts.training.loop import Interrupted


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


def test_ctrl_c_says_how_to_continue(tmp_path, monkeypatch):
    def interrupt(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "fit", interrupt)
    with pytest.raises(
        Interrupted, match="stopped; what was tried is in .*a b, and the same command continues"
    ) as stop:
        fit_command(["--data.root", "x.csv", "--run", str(tmp_path / "a b")], Console(file=io.StringIO()))
    assert stop.value.code == 130


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left"), "`run` .*: No space left; give a folder that can be written"),
        (MemoryError(), "not enough memory; give fewer examples"),
    ],
)
def test_a_full_disk_or_memory_is_one_line(error, message, tmp_path, monkeypatch):
    def refuse(*arguments, **named):
        raise error

    monkeypatch.setattr(command, "fit", refuse)
    with pytest.raises(UserError, match=message):
        fit_command(["--data.root", "x.csv", "--run", str(tmp_path)], Console(file=io.StringIO()))


def test_predictions_of_no_run(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        predict_command([str(tmp_path), "x.csv"], Console(file=io.StringIO()))
