import os
import sys
from pathlib import Path

import pytest
import torch

from darts.bench.reference_darts import MODULES, authors_retrain_step, authors_search_step, load_authors
from darts.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def forget_modules():
    yield
    for name in [name for name in sys.modules if name.startswith("quark0_cnn")]:
        del sys.modules[name]


def test_calls_that_no_longer_run_are_changed_in_memory(tmp_path):
    folder = tmp_path / "cnn"
    folder.mkdir()
    for name in MODULES:
        (folder / f"{name}.py").write_text("")
    (folder / "operations.py").write_text("import torch\ndef one():\n  return torch.ones(2).cuda()\n")
    source = "from operations import *\ndef f(theta, eta, moment, dtheta):\n  return theta.sub(eta, moment+dtheta)\n"
    (folder / "architect.py").write_text(source)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    architect = load_authors(tmp_path, CPU).architect
    assert torch.equal(architect.f(architect.one(), 0.5, architect.one(), architect.one()), torch.zeros(2))
    assert {path.name: path.read_text() for path in folder.iterdir() if path.is_file()} == before
    assert "genotypes" not in sys.modules or hasattr(sys.modules["genotypes"], "CellGenotype")


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="genotypes.py is missing"):
        load_authors(tmp_path, CPU)


@pytest.mark.skipif("AUTHORS" not in os.environ, reason="AUTHORS names no checkout of quark0/darts")
@pytest.mark.parametrize("unrolled", [False, True])
def test_the_authors_step_runs(unrolled):
    authors_search_step(Path(os.environ["AUTHORS"]), CPU, 2, unrolled)()


@pytest.mark.skipif("AUTHORS" not in os.environ, reason="AUTHORS names no checkout of quark0/darts")
def test_the_authors_retraining_runs():
    authors_retrain_step(Path(os.environ["AUTHORS"]), CPU, 2)()
