"""What the frame around a script says of a disk or a folder that refuses."""

import errno
import os

import pytest

from darts.artifacts.checkpoint import write_atomically
from darts.cli import fields_as_options, run_script, train_script, writing_results
from darts.errors import UserError
from genotypes.errors import InputError
from supernet.errors import SpaceError


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "with --runs"),
        (errno.ENAMETOOLONG, "a shorter --name"),
        (errno.ENOENT, "with --runs"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EIO, "the disk fails"),
    ],
)
def test_what_a_disk_refuses_is_one_line(number, message, tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    def main(arguments, console):
        monkeypatch.setattr(os, "fsync", refuse)
        write_atomically(tmp_path / "metrics.json", b"x")

    for trains in (True, False):
        with pytest.raises(SystemExit) as stop:
            run_script(main, trains=trains)
        told = capsys.readouterr().err
        assert stop.value.code == 2 and told.startswith(f"error: {tmp_path / 'metrics.json'}: {os.strerror(number)}; ")
        assert told.count("\n") == 1 and not os.listdir(tmp_path)
        assert message in told if trains else "--" not in told


def test_ctrl_c_says_what_it_has_stopped(capsys):
    def main(arguments, console, *ranks):
        raise KeyboardInterrupt

    for run, said in ((run_script, "stopped\n"), (train_script, "stopped before the first step\n")):
        with pytest.raises(SystemExit) as stop:
            run(main)
        assert stop.value.code == 130 and capsys.readouterr().out == said


def test_nothing_of_a_path_is_markup(capsys):
    with pytest.raises(SystemExit):
        run_script(lambda arguments, console: console.print("in runs/a[/b]:smile:[red]/report.html"))
    assert capsys.readouterr().out == "in runs/a[/b]:smile:[red]/report.html\n"


def test_other_errors_of_the_system_are_no_users(tmp_path):
    def main(arguments, console):
        raise OSError(errno.ECHILD, "no child")

    with pytest.raises(OSError, match="no child"):
        run_script(main)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("`weights.lr_min` is nan; it must be 0 or more", "--weights.lr-min is nan; it must be 0 or more"),
        ("lower `run.memory`, or set `space.backend` reference", "lower --memory, or set --space.backend reference"),
        ("`language.dropout.x` and `epochs`", "--language.dropout.x and --epochs"),
        ("file `A.py`, `two words`, `` and `METHOD`", "file `A.py`, `two words`, `` and `METHOD`"),
    ],
)
def test_fields_in_messages_become_options(message, shown):
    assert fields_as_options(message) == shown


@pytest.mark.parametrize("error", [UserError, SpaceError])
def test_a_mistake_is_one_line_that_names_options(error, capsys):
    def main(arguments, console):
        raise error("`method.edges` is 'x'; set `run.graph` off")

    assert issubclass(error, InputError)
    with pytest.raises(SystemExit) as stop:
        run_script(main)
    assert stop.value.code == 2 and capsys.readouterr().err == "error: --method.edges is 'x'; set --graph off\n"


def test_ctrl_c_while_results_are_written_says_that_training_is_done(capsys):
    def main(arguments, console):
        with writing_results():
            raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        run_script(main)
    out = capsys.readouterr().out
    assert stop.value.code == 130 and out.count("\n") == 1
    assert out.startswith(
        "stopped while the results were written; the training is done and saved. Resume with: python "
    )
    assert out.endswith("--resume\n")


def test_a_value_of_any_length_is_shortened_in_a_message(monkeypatch, capsys):
    def main(arguments, console):
        raise UserError(f"`data.root` {'x' * 5000}/y: no such folder")

    monkeypatch.setattr("sys.argv", ["script"])
    with pytest.raises(SystemExit):
        run_script(main)
    line = capsys.readouterr().err
    assert line.startswith("error: --data.root xxx") and line.endswith("x... no such folder\n") and len(line) < 300
