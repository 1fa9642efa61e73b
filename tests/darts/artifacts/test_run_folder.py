import json
import os
from pathlib import Path

import pytest

from darts.artifacts.run_folder import newest_search, run_folder
from darts.config import RunConfig
from darts.errors import UserError


def test_new_runs_get_new_folders(tmp_path):
    run = RunConfig(runs=tmp_path)
    for expected in ("x", "x-2", "x-3"):
        folder = run_folder(run, "x")
        assert folder == tmp_path / expected
        folder.mkdir()
        (folder / "log.jsonl").touch()
    (tmp_path / "x-other").mkdir()
    assert run_folder(run, "x") == tmp_path / "x-4"
    assert run_folder(RunConfig(runs=tmp_path, resume=True), "x") == tmp_path / "x-3"
    assert run_folder(RunConfig(runs=tmp_path, resume=True, name="x"), "y") == tmp_path / "x"
    assert run_folder(RunConfig(runs=tmp_path, resume=True), "new") == tmp_path / "new"
    with pytest.raises(UserError, match="`run.resume`"):
        run_folder(RunConfig(runs=tmp_path, name="x"), "y")


@pytest.mark.parametrize("name", ["a/b", "..", "", "/abs"])
def test_a_name_is_no_path(name, tmp_path):
    with pytest.raises(UserError, match="`run.name`"):
        run_folder(RunConfig(runs=tmp_path, name=name or "."), "x")


def test_newest_search_is_the_one_that_finished_last(tmp_path):
    for age, (name, kind) in enumerate([("old", "search"), ("new", "search"), ("final", "retrain"), ("broken", None)]):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "genotype.json").write_text("{}")
        (folder / "config.json").write_text(json.dumps({"kind": kind}) if kind else "{")
        os.utime(folder / "genotype.json", (1000 + age, 1000 + age))
    assert newest_search(tmp_path) == tmp_path / "new"
    with pytest.raises(UserError, match="run train_search.py first"):
        newest_search(Path(tmp_path / "absent"))
