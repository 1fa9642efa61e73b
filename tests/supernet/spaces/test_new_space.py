"""Adding a space: the example of the spaces' README as one file and one row; the README's other examples."""

import importlib.util
import re
from dataclasses import replace
from pathlib import Path

import pytest

from genotypes.types.choices import ChoicesGenotype
from supernet import architectures
from supernet.spaces import SPACES
from tests import tiny

README = Path(__file__).parents[3] / "supernet" / "spaces" / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def run_as_file(code, folder):
    (folder / "example.py").write_text(code)
    spec = importlib.util.spec_from_file_location("example", folder / "example.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("code", EXAMPLES, ids=lambda code: code.splitlines()[0])
def test_the_examples_run(code, tmp_path, capsys):
    run_as_file(code, tmp_path)


def test_a_file_and_a_row_are_a_space(tmp_path, monkeypatch):
    """With a row of the table it is searched by name, and its architectures are sampled and counted."""
    module = run_as_file(EXAMPLES[-1], tmp_path)
    monkeypatch.setitem(SPACES, "kernels", module.ENTRY)
    made = tiny.config(epochs=1)
    task = tiny.run(tiny.search(replace(made, space=replace(made.space, name="kernels", nodes=None))))
    genotype = task.genotype()
    assert type(genotype) is ChoicesGenotype and genotype["kernel"][0] in ("1x1", "3x3", "5x5")
    assert architectures.count(task.space) == 3 and task.space.valid(task.space.picks(genotype)) is None


def test_the_readme_names_every_space():
    assert not [name for name in SPACES if f"| `{name}` |" not in README.read_text()]
