"""One process at a time works in a run's folder."""

import subprocess
import sys

import pytest

from darts.artifacts.run_folder import run_folder
from darts.artifacts.run_lock import lock, locked, unlock
from darts.config import RunConfig
from darts.errors import UserError
from tests.scripts import ROOT

HOLD = """
import sys
from pathlib import Path
from darts.artifacts.run_folder import run_folder
from darts.config import RunConfig
print(run_folder(RunConfig(runs=Path(sys.argv[1])), "x").name, flush=True)
input()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that works in the run ``x``."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout.readline() == "x\n"
    yield process
    process.kill()
    process.communicate()


def test_a_run_of_another_process_is_left_alone(other, tmp_path):
    assert run_folder(RunConfig(runs=tmp_path), "x") == tmp_path / "x-2"
    for resume in (False, True):
        with pytest.raises(UserError, match="x is in use by a running process"):
            run_folder(RunConfig(runs=tmp_path, name="x", resume=resume), "y")
    other.kill()
    other.wait()
    assert run_folder(RunConfig(runs=tmp_path, name="x"), "y") == tmp_path / "x"


def test_a_lock_can_be_taken_again_and_leaves_nothing(tmp_path):
    with locked(tmp_path / "x"):
        unlock(tmp_path / "x", lock(tmp_path / "x"))
    with locked(tmp_path / "x"):
        pass
    assert list(tmp_path.iterdir()) == []
