"""A package that is missing or too old is one line, whichever command is typed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FAILURES = {
    "missing": ("raise ModuleNotFoundError(\"No module named 'tyro'\", name='tyro')", "No module named 'tyro'"),
    "old": ("", "cannot import name"),
}


@pytest.mark.parametrize(
    ("failure", "command"),
    [("missing", ["train_search.py"]), ("missing", ["-m", "darts.bench"]), ("old", ["train_final.py"])],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_failed_import_is_one_line(tmp_path, failure, command):
    code, reason = FAILURES[failure]
    package = {"missing": "tyro", "old": "einops"}[failure]
    (tmp_path / f"{package}.py").write_text(code)
    search = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, *command, "--help"],
        env={**os.environ, "PYTHONPATH": search},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr[-2000:]
    assert reason in done.stderr and "pip install -r requirements.txt" in done.stderr
