"""Adding a method: the 30 lines of the methods' README as a file of one's own, and as one file and one row."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

import darts.methods
from darts.methods.compose import compose
from genotypes import load
from tests import scripts, tiny

ROOT = Path(__file__).parent.parent
README = ROOT / "darts" / "methods" / "README.md"
METHODS = darts.methods.METHODS
KEPT_TOGETHER = {"__init__", "compose", "context", "method", "space_factory"}
"""Files of ``darts/methods`` that are no methods."""


@pytest.fixture
def cooled(tmp_path):
    """The README's method as a file."""
    section = README.read_text().split("## Adding a method")[1]
    match = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    code = match[1]
    assert 10 < len([line for line in code.splitlines() if line.strip()]) <= 30
    (tmp_path / "cooled.py").write_text(code)
    return tmp_path / "cooled.py"


def test_a_file_of_ones_own_searches(cooled, tmp_path):
    size = ["--epochs", 2, "--space.channels", 2, "--space.layers", 3, "--space.nodes", 2, "--max-steps", 20]
    code, _, err = scripts.run("train_search.py", "--method.name", "cooled.py", *size, "--name", "mine", cwd=tmp_path)
    assert code == 0, err
    cell = load(tmp_path / "runs" / "mine").normal
    assert sum(edge.op == "skip_connect" for node in cell.nodes for edge in node) <= 2


def test_a_file_and_a_row_are_a_method(cooled, monkeypatch):
    """With a row in the registry it is composed by name, its components cross with others, and it searches."""
    spec = importlib.util.spec_from_file_location("cooled", cooled)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(METHODS, "cooled", module.METHOD)
    assert compose(tiny.config("cooled")) == module.METHOD
    task = tiny.run(tiny.search(tiny.config("cooled", epochs=1, perturb="random"), make=tiny.few_candidates))
    assert len(task.genotypes) == 1


@pytest.mark.parametrize("path", sorted((ROOT / "darts").rglob("*.py")), ids=lambda path: path.stem)
def test_no_file_but_the_registry_knows_a_method(path):
    """So a new method needs no change elsewhere."""
    files = {f"darts.methods.{file.stem}" for file in (ROOT / "darts" / "methods").glob("*.py")}
    methods = files - {f"darts.methods.{name}" for name in KEPT_TOGETHER}
    imported = {node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
    assert path == ROOT / "darts" / "methods" / "__init__.py" or not imported & methods


def test_the_readme_names_every_method():
    text = README.read_text()
    assert not [name for name in METHODS if f"`{name}`" not in text]


def test_a_file_without_a_method_is_refused(tmp_path):
    (tmp_path / "empty.py").write_text("METHOD = None\n")
    code, _, err = scripts.run("train_search.py", "--method.name", "empty.py", cwd=tmp_path)
    reason = "the file must define METHOD, a darts.methods.method.Method"
    assert code == 2 and err == f"error: --method.name empty.py: {reason}\n"
    (tmp_path / "torn.py").write_text("METHOD = (\n")
    code, _, err = scripts.run("train_search.py", "--method.name", "torn.py", cwd=tmp_path)
    assert code == 2 and err.startswith("error: --method.name torn.py: ") and err.count("\n") == 1
