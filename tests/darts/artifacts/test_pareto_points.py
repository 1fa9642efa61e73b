"""Points of a Pareto set that are named by limits."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts.artifacts.pareto_points import within_limits
from darts.errors import UserError
from supernet.errors import SpaceError
from train_final import absolute

LATENCIES = [9.0, 5.5, 4.0, 2.5]


def pareto_file(folder, latencies=LATENCIES):
    """A Pareto set whose points are the faster, the less accurate."""
    points = [
        {"point": number, "values": {"valid_accuracy": 1 - number / 10, "latency_ms": ms, "parameters": 1000}}
        for number, ms in enumerate(latencies, 1)
    ]
    file = folder / "pareto.json"
    file.write_text(json.dumps({"points": points}))
    return file


@pytest.mark.parametrize(
    ("limits", "point"),
    [("latency=5.5ms", 2), ("latency=5", 3), ("latency=1s", 1), ("latency=3ms,parameters=1k", 4)],
)
def test_the_best_within_the_limits(tmp_path, limits, point):
    file = pareto_file(tmp_path)
    assert within_limits(f"{file}@{limits}") == f"{file}@{point}"


@given(limits=st.lists(st.floats(2.5, 12.0), min_size=2, max_size=5))
def test_a_looser_limit_is_never_a_worse_or_faster_network(limits, tmp_path_factory):
    file = pareto_file(tmp_path_factory.mktemp("pareto"))
    chosen = [int(within_limits(f"{file}@latency={limit!r}").rpartition("@")[2]) for limit in sorted(limits)]
    assert chosen == sorted(chosen, reverse=True), "points are sorted by accuracy"


def test_what_cannot_be_chosen_is_one_line(tmp_path):
    file = pareto_file(tmp_path)
    for limits, error, reason in (
        ("latency=2ms", UserError, "no point is within latency=2ms; the least of its points: latency 2.5ms"),
        ("memory=2MB", UserError, "its points have no memory; search with it among `objectives` or `limits`"),
        ("latency=fast", SpaceError, "`genotype` is 'latency=fast'"),
        ("speed=2", SpaceError, "`genotype` is 'speed=2'"),
    ):
        with pytest.raises(error, match=reason):
            within_limits(f"{file}@{limits}")
    for content in ("{}", '{"points": [3, {"point": 1}]}', "[", '{"points": {"a": 1}}'):
        file.write_text(content)
        with pytest.raises(UserError, match="no points of a Pareto set"):
            within_limits(f"{file}@latency=2ms")


def test_other_sources_are_left_alone(tmp_path):
    file = pareto_file(tmp_path)
    for source in (str(file), f"{file}@2", "DARTS_V2", "run@latency=2", f"{tmp_path}/genotype.json@a=b"):
        assert within_limits(source) == source


def test_a_source_is_recorded_so_that_it_is_found_from_anywhere(tmp_path, monkeypatch):
    file = pareto_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert absolute("pareto.json") == str(file) and absolute("pareto.json@2") == f"{file}@2"
    assert absolute("DARTS_V2") == "DARTS_V2" and absolute("absent.json@2") == "absent.json@2"
    cell = "|none~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|"
    assert absolute(cell) == cell and absolute(10 * cell) == 10 * cell
