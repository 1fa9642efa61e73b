"""The notebook runs from the first cell to the last, with a smaller budget."""

import json
import runpy
from pathlib import Path

import darts.automatic

NOTEBOOK = Path(darts.automatic.__file__).parent / "digits.ipynb"


def test_the_notebook_runs(tmp_path, monkeypatch, capsys):
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells)
    text = "\n\n".join("".join(cell["source"]) for cell in cells)
    assert 'budget="1m"' in text
    (tmp_path / "notebook.py").write_text(text.replace('budget="1m"', 'budget="12s"'))
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path("notebook.py")
    assert names["model"].score(names["x_test"], names["y_test"]) > 0.8
    assert (tmp_path / "runs" / "notebook").is_dir() and capsys.readouterr().out.splitlines()[-1].startswith("0.")
