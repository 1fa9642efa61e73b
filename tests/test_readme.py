"""The code blocks of the README and of the folders' pages run as they stand there.

Commands on data that is not bundled (``DIR``, ``IMAGES``) are parsed to the end; the others run, with a smaller budget.
"""

import re
import shlex
from pathlib import Path

import pytest

from darts.automatic.command import FitConfig, PredictConfig
from darts.cli import parse
from darts.config.command_line import parse_command
from darts.recipes import BLACKBOX_RECIPES, FINAL_RECIPES, SEARCH_RECIPES
from tests import scripts

ROOT = Path(__file__).parent.parent
PAGES = [path for path in sorted(ROOT.rglob("*.md")) if not {".venv", "build"} & set(path.parts)]
LINKS = re.compile(r"\]\((?!https?://)([^)#]+)\)")
OTHERS = {"auto": FitConfig, "predict": PredictConfig}
"""First words that are no recipes -> the options that follow."""

README = (ROOT / "README.md").read_text()


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands():
    """Each command of a page that starts one of the scripts, without its comment."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if len(words) > 1 and words[1] in ("train_search.py", "train_final.py"):
                    yield pytest.param(words[1], words[2:], id=f"{page.relative_to(ROOT)}: {' '.join(words[1:])}"[:100])


@pytest.mark.parametrize(("script", "words"), list(commands()))
def test_a_command_is_understood(script, words):
    if words and words[0] in OTHERS:
        assert parse_command(OTHERS[words[0]], words[1:], prog=script, description="")
        return
    recipes = {**SEARCH_RECIPES, **BLACKBOX_RECIPES} if script == "train_search.py" else FINAL_RECIPES
    if "--help" in words:
        with pytest.raises(SystemExit) as ended:
            parse(script, recipes, words, default="digits")
        assert ended.value.code == 0
    else:
        assert parse(script, recipes, words, default="digits")


def test_the_python_example_runs(tmp_path, monkeypatch):
    (example,) = blocks(ROOT / "README.md", "python")
    short = example.replace("epochs=5", 'epochs=1, verbose=False, device="cpu"')
    assert short.count("epochs=1") == 2
    (tmp_path / "example.py").write_text(short)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    code, out, err = scripts.run(tmp_path / "example.py", cwd=tmp_path)
    assert code == 0, err
    assert "kernel" in out and "shortcut" in out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in LINKS.findall(page.read_text()):
        assert (page.parent / link).exists(), link


def test_the_readme_is_read_to_the_end():
    assert len(README.splitlines()) <= 180
