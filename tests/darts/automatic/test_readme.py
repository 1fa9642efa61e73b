"""The examples of the page run as they stand there, with less training."""

import re
import runpy
from pathlib import Path

import pytest

import darts
from darts.automatic import problem

PAGE = Path(darts.__file__).parent / "automatic" / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.filterwarnings("ignore:too few data")
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(problem, "FOLDED", 0)
    shorter = {'budget="1m"': "budget=None, trials=1, epochs=3, verbose=False", "epochs=3)": "epochs=1, verbose=False)",
               "view(-1, 1, 8, 8)": "view(-1, 1, 8, 8)[:100]", "torch.tensor(labels)": "torch.tensor(labels)[:100]",
               "trials=6": "trials=2", "executions_per_trial=2": "executions_per_trial=1"}  # fmt: skip
    code = EXAMPLES[number]
    for words, fewer in shorter.items():
        code = code.replace(words, fewer)
    (tmp_path / "example.py").write_text(code)
    runpy.run_path(str(tmp_path / "example.py"))
    assert "verbose=False" in code and (number == 0 or "[:100]" in code)
