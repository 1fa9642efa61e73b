"""Reports of searches without gradients whose trials are made up, so that every figure is known."""

import json
import random
import re
import xml.etree.ElementTree as ElementTree

import pytest

from darts.artifacts.run_record import read_record
from darts.report.compare import comparison_page
from darts.report.compare_studies import hypervolumes, mean_incumbent
from darts.report.page import run_page, write_report
from darts.report.parallel_coordinates import Line, parallel_coordinates
from darts.report.pareto_chart import pareto_svg
from darts.report.trials import importances, read_study
from genotypes import describe, load, to_json

GENOTYPE = describe(load("DARTS_V2"))
EVIL = '<b onload="alert(1)">&'


def row(number, *values, state="complete", epochs=3, seconds=10.0, **further):
    objectives = {"objectives": {"1": [0.0] * len(values), str(epochs): list(values)}} if values else {}
    return {"trial": number, "state": state, "value": values[0] if values else None, "seconds": seconds,
            "genotype": GENOTYPE, "params": {"normal/0": "a", "weights.lr": 0.1}, **objectives, **further}  # fmt: skip


ROWS = [
    row(1, 0.5, 2e6),
    row(2, 0.4, 1e6),
    row(3, state="fail", seconds=2.0, reason=EVIL),
    row(4, 0.6, 3e6),
    row(5, state="infeasible", seconds=0.0, infeasible="9M parameters, limit 3M"),
    row(6, 0.6, 4e6),
    row(7, 0.9, 9e6, epochs=1, state="paused"),
    row(8, 0.3, 2e6, params={"normal/0": "b", "weights.lr": 0.2, "normal/1": "c"}),
]


def made(runs, name, rows=ROWS, objectives="accuracy,multiply_adds", seed=0, **config):
    """A study's folder."""
    folder = runs / name
    folder.mkdir()
    settings = {"recipe": "nsga2_made_up", "data": {"name": EVIL}, "strategy": "nsga2", "objectives": objectives}
    settings |= {"limits": None, "budget": {"epochs": 3}, "seed": seed, **config}
    (folder / "config.json").write_text(json.dumps({"kind": "search", "command": ["python", "x"], "config": settings}))
    (folder / "trials.json").write_text(json.dumps(rows))
    (folder / "genotype.json").write_text(to_json(load("DARTS_V2").named(name)))
    (folder / "metrics.json").write_text(json.dumps({"valid_accuracy": 0.6, "seconds": 62.0}))
    return folder


def study(tmp_path, name="s", **options):
    return read_study(read_record(made(tmp_path, name, **options)))


def test_trials_that_cannot_be_compared_are_left_out(tmp_path):
    found = study(tmp_path)
    assert [trial.number for trial in found.evaluated] == [1, 2, 4, 6, 8], "not failed, infeasible, or shorter trained"
    assert [trial.number for trial in found.front] == [4, 1, 2] and found.maximized == [True, False]


def test_incumbents_over_trials_and_time(tmp_path):
    assert study(tmp_path).incumbents() == [(1, 10.0, 0.5), (4, 32.0, 0.6), (8, 62.0, 0.6)]
    down = study(tmp_path, "loss", objectives="loss", rows=[row(1, 3.0), row(2, 4.0), row(3, 1.0)])
    assert [value for *_, value in down.incumbents()] == [3.0, 1.0]


def test_importance_is_known_for_made_up_values(tmp_path):
    """``x`` decides everything, ``y`` nothing, ``z`` takes part in too few trials."""
    rng = random.Random(0)
    rows = [row(k, 0.5 + 0.1 * (k % 2), params={"x": k % 2, "y": rng.choice("abcdef"), "rate": rng.random(),
                **({"z": k} if k < 5 else {})}) for k in range(60)]  # fmt: skip
    found = {name: share for name, share, _ in importances(study(tmp_path, objectives="accuracy", rows=rows))}
    assert found["x"] == pytest.approx(1.0) and found["y"] < 0.1 and found["rate"] < 0.1 and "z" not in found


def test_omega_squared_by_hand(tmp_path):
    """Groups (1, 2, 3, 2) and (3, 4, 5, 4): between 8, within 4, so (8 - 4/6) / (12 + 4/6)."""
    rows = [row(k + 1, value, params={"x": k // 4}) for k, value in enumerate((1, 2, 3, 2, 3, 4, 5, 4))]
    ((name, share, count),) = importances(study(tmp_path, objectives="accuracy", rows=rows))
    assert (name, count) == ("x", 8) and share == pytest.approx((8 - 4 / 6) / (12 + 4 / 6))


def test_the_page_holds_every_part(tmp_path):
    folder = made(tmp_path, "s")
    text = write_report(folder).read_text()
    for part in ("Incumbent", "Pareto set", "Decisions", "Failed trials", "Over a limit", "pareto.json@1"):
        assert part in text, part
    assert "9M parameters, limit 3M" in text and "8 trials: 5 completed, 1 paused, 1 over a limit" in text
    assert EVIL not in text and "<script" not in text
    drawn = (folder / "pareto.svg").read_text()
    assert ElementTree.fromstring(drawn).get("class") == "pareto" and "prefers-color-scheme: dark" in drawn
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(svg)


def test_the_pareto_picture_puts_points_in_their_places(tmp_path):
    root = ElementTree.fromstring(pareto_svg(study(tmp_path)))
    circles = [each for each in root.iter() if each.tag.endswith("circle")]
    front = [each for each in circles if each.get("class") == "point"]
    assert len(circles) == 5 and len(front) == 3
    xs, ys = ([float(each.get(key)) for each in front] for key in ("cx", "cy"))
    assert xs == sorted(xs, reverse=True) and ys == sorted(ys), "the best accuracy is at the top and costs most"
    assert "@1, trial 4: validation accuracy 60.00 %, multiply-adds 3.000 M" in "".join(front[0].itertext())


@pytest.mark.parametrize("rows", [[], [3, {"trial": "x"}], [row(1, state="fail", reason="no memory")]])
def test_a_study_without_results_has_a_page(tmp_path, rows):
    assert "No trial is completed yet" in run_page(read_record(made(tmp_path, "s", rows=rows)))


def test_one_objective_has_no_pareto_picture(tmp_path):
    folder = made(tmp_path, "s", rows=[row(1, 0.5), row(2, 0.25)], objectives="accuracy")
    assert "Pareto" not in write_report(folder).read_text() and not (folder / "pareto.svg").exists()


def test_parallel_coordinates_break_where_a_decision_takes_no_part():
    lines = [Line({"a": "x", "b": "1"}, 0.1, 0.0, "t1"), Line({"a": "y", "c": 2}, 0.2, 1.0, "t2"),
             Line({"a": "y", "b": "2", "c": 3}, 0.3, 0.5, "t3")]  # fmt: skip
    text = parallel_coordinates(lines, "valid_accuracy")
    paths = re.findall(r'stroke="[^"]*" d="([^"]*)"', text)
    assert len(paths) == 3 and sorted(path.count("M") for path in paths) == [1, 2, 2]
    assert parallel_coordinates(lines[:1], "valid_accuracy") == ""


def test_compared_studies_show_mean_and_spread(tmp_path):
    first = [row(1, 0.5, 2e6), row(2, 0.7, 4e6)]
    second = [row(1, 0.3, 2e6), row(2, 0.5, 1e6), row(3, 0.6, 1e6)]
    folders = [made(tmp_path, "a", rows=first), made(tmp_path, "b", rows=second, seed=1)]
    studies = [read_study(read_record(folder)) for folder in folders]
    curve, band = mean_incumbent(studies)
    assert curve == [(1, 0.4), (2, pytest.approx(0.6))]
    assert band[0][1:] == pytest.approx((0.4 - 0.02**0.5, 0.4 + 0.02**0.5))
    text = comparison_page([read_record(folder) for folder in folders])
    assert "mean and standard deviation over seeds" in text and "<polygon" in text and "Pareto sets" in text


def test_hypervolumes_of_compared_studies_by_hand(tmp_path):
    """Scaled to the unit square: (1, 0) and (0.5, 0.75) of the one, (0, 1) of the other; only one encloses an area."""
    both = [
        study(tmp_path, "a", rows=[row(1, 0.9, 5e6), row(2, 0.7, 2e6)]),
        study(tmp_path, "b", rows=[row(1, 0.5, 1e6)]),
    ]
    assert hypervolumes(both) == pytest.approx([1.0, 0.0])
