"""Output that cannot be written is lost, and the script goes on; what a console cannot encode is escaped."""

import os
import subprocess
import sys

import pytest

from tests.scripts import ROOT

SCRIPT = """
import sys
from darts.cli import run_script, say
from darts.errors import UserError

def main(arguments, console):
    say(console, "[bold]ä \\udce4 :smile:")
    print("text")
    open("done", "w").write("x")
    if arguments:
        raise UserError("`run.memory` is ä\\nb")

run_script(main)
"""


def ended(folder, *arguments, command="exec {} -c {}", **environment):
    """Exit code and output of the script, started by a shell."""
    (folder / "script.py").write_text(SCRIPT)
    shell = command.format(sys.executable, f'"$(cat script.py)" {" ".join(arguments)}')
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(["bash", "-c", shell], cwd=folder, env=settings, capture_output=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", ">&- 2>&-", "2>/dev/full", "| true", "0<&- >&- 2>&-"])
def test_output_that_cannot_be_written_is_lost(redirection, tmp_path):
    code, _, err = ended(tmp_path, command=f"set -o pipefail; {{}} -c {{}} {redirection}")
    assert code == 0 and err == b"" and (tmp_path / "done").read_text() == "x"


def test_what_cannot_be_encoded_is_escaped(tmp_path):
    code, out, err = ended(tmp_path, "mistake", PYTHONIOENCODING="ascii")
    assert (code, out) == (2, b"[bold]\\xe4 \\udce4 :smile:\ntext\n")
    assert err == b"error: --memory is \\xe4 b\n"
