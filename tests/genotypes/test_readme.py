"""The README's Python runs, and its commands are valid."""

import re
import shlex
from pathlib import Path

import pytest

from genotypes import load, write
from genotypes.__main__ import main

README = (Path(__file__).parent.parent.parent / "genotypes" / "README.md").read_text()
COMMANDS = re.findall(r"^python -m genotypes (.+)$", README, re.MULTILINE)


def test_python_blocks_run(tmp_path):
    blocks = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        names: dict = {}
        exec(compile(block, "README.md", "exec"), names)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.json").write_text(write(load("PDARTS")))
    (tmp_path / "runs" / "NAME").mkdir(parents=True)
    (tmp_path / "runs" / "NAME" / "genotype.json").write_text(write(load("PDARTS")))
    assert main(shlex.split(command, comments=True)) == (1 if command.startswith("diff") else 0)
    assert not capsys.readouterr().err
