"""``darts.fit`` beside scikit-learn's forests: the data of each row, the file of results."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from darts.errors import UserError
from darts.experiments import forests
from darts.experiments.forest_data import CASES


@pytest.mark.parametrize("name", ["wine", "diabetes", "digits", "folder"])
def test_both_models_get_the_same_examples(name, tmp_path):
    case = CASES[name](0, tmp_path, None)
    assert len(case.train[0]) == len(case.train[1]) and len(case.test[0]) == len(case.test[1])
    if name == "folder":
        files = sorted((tmp_path / "train").rglob("*.png"))
        assert len(files) == len(case.train[0]) and len({path.parent for path in files}) == 10
    else:
        assert len(case.given[0]) == len(case.train[0]) and np.array_equal(case.given[1], case.train[1])
    again = CASES[name](0, tmp_path / "again", None)
    assert np.array_equal(case.train[0], again.train[0])


class Fitted:
    """A model of no quality."""

    trials, genotype = (1, 2), "a: b"

    def score(self, x, y):
        return 0.5


def test_rows_are_kept_and_continued(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(forests, "fit", lambda *given, **options: calls.append(options) or Fitted())
    path, console = tmp_path / "forests.json", Console(file=io.StringIO(), width=200)
    command = ["--data", "wine", "--json", str(path), "--budget", "3"]
    forests.main([*command, "--seeds", "0"], console)
    forests.main([*command, "--seeds", "0", "1"], console)
    rows = json.loads(path.read_text())["rows"]
    assert [row["seed"] for row in rows] == [0, 1] == [options["seed"] for options in calls]
    assert all(
        "commit" in row["machine"]
        and row["forest"]["score"] > 0.8
        and row["fit"]["score"] == 0.5
        and row["budget"] == 3
        for row in rows
    )
    with pytest.raises(UserError, match="`data` is 'rain'"):
        forests.main(["--data", "rain"], console)
    path.write_text("[]")
    with pytest.raises(UserError, match="not a file of this command"):
        forests.main(command, console)
