"""The README's method in 30 lines runs as it stands there."""

import re
from pathlib import Path

from genotypes import load
from tests import scripts

README = Path(__file__).parent.parent / "README.md"


def test_the_readmes_method_searches(tmp_path):
    section = README.read_text().split("### A new method in 30 lines")[1]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    assert 10 < len([line for line in code.splitlines() if line.strip()]) <= 30
    (tmp_path / "cooled.py").write_text(code)
    size = ["--epochs", 2, "--space.channels", 2, "--space.layers", 3, "--space.nodes", 2, "--max-steps", 20]
    code, _, err = scripts.run("train_search.py", "--method.name", "cooled.py", *size, "--name", "mine", cwd=tmp_path)
    assert code == 0, err
    cell = load(tmp_path / "runs" / "mine").normal
    assert sum(edge.op == "skip_connect" for node in cell.nodes for edge in node) <= 2


def test_a_file_without_a_method_is_refused(tmp_path):
    (tmp_path / "empty.py").write_text("METHOD = None\n")
    code, _, err = scripts.run("train_search.py", "--method.name", "empty.py", cwd=tmp_path)
    assert code == 2 and err == "error: --method.name empty.py: the file must define METHOD, a darts.method.Method\n"
    (tmp_path / "torn.py").write_text("METHOD = (\n")
    code, _, err = scripts.run("train_search.py", "--method.name", "torn.py", cwd=tmp_path)
    assert code == 2 and err.startswith("error: --method.name torn.py: ") and err.count("\n") == 1
