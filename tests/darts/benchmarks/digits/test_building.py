"""The build: parts, continuation after a kill, agreement of files, and what is refused."""

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from darts.benchmarks.digits import building
from darts.benchmarks.digits.building import Part, jobs_of, part_of
from darts.benchmarks.digits.merging import merge
from darts.benchmarks.digits.rows import read_rows
from darts.benchmarks.digits.training import PROTOCOL, read_images, train
from darts.errors import UserError
from genotypes.types.nasbench201 import NASBench201Genotype
from tests.darts.benchmarks.digits.conftest import QUIET, made_up, write_rows

SMALL = Part(1, 2600)


@pytest.fixture
def here(monkeypatch):
    """Trainings are made up, in this process."""

    def trainings(make, jobs, processes, stop):
        for row in jobs:
            yield row, made_up(*row)
            if stop():
                return

    monkeypatch.setattr(building, "in_processes", trainings)


def build(out, part=SMALL, **options):
    options = {"processes": 1, "max_seconds": None, "protocol": PROTOCOL, "console": QUIET, **options}
    return building.build(out, part, **options)


def test_parts_divide_all_trainings():
    parts = [jobs_of(Part(number, 7), PROTOCOL) for number in range(1, 8)]
    assert sorted(row for part in parts for row in part) == sorted(jobs_of(Part(1, 1), PROTOCOL))
    assert max(map(len, parts)) - min(map(len, parts)) <= len(PROTOCOL.seeds)
    assert part_of("3/16") == Part(3, 16)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", ""])
def test_a_part_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="--part is"):
        part_of(text)


def test_a_killed_build_continues_and_its_torn_line_is_removed(tmp_path, here):
    out = tmp_path / "runs" / "rows.jsonl"
    assert build(out) == 0
    whole = read_rows(out, PROTOCOL)
    assert len(whole.found) == len(jobs_of(SMALL, PROTOCOL))
    content = out.read_bytes()
    out.write_bytes(content[: len(content) * 2 // 3])
    kept = read_rows(out, PROTOCOL)
    assert 0 < len(kept.found) < len(whole.found)
    assert build(out) == 0
    assert read_rows(out, PROTOCOL).found == whole.found
    assert all(json.loads(line) for line in out.read_text().splitlines())


def test_it_stops_in_time_and_says_what_is_left(tmp_path, here):
    console = Console(width=200, file=io.StringIO())
    left = build(tmp_path / "rows.jsonl", max_seconds=1e-9, console=console)
    assert left == len(jobs_of(SMALL, PROTOCOL)) - 1
    assert re.match(r"1 of 9 trainings, .* left; in .*rows.jsonl", console.file.getvalue())


def test_a_file_of_another_protocol_or_no_such_file_is_refused(tmp_path):
    out = tmp_path / "rows.jsonl"
    write_rows(out, jobs_of(SMALL, PROTOCOL)[:2])
    with pytest.raises(UserError, match=r"rows.jsonl: line 1: made with another protocol"):
        read_rows(out, replace(PROTOCOL, lr=0.5))
    out.write_text("hello\n")
    with pytest.raises(UserError, match=r"line 1: not a line of the digits benchmark's build"):
        read_rows(out, PROTOCOL)


def test_each_training_is_of_the_machine_that_made_it(tmp_path):
    out, rows = tmp_path / "rows.jsonl", jobs_of(SMALL, PROTOCOL)
    machines = ["a", "b", "a"]
    for row, machine in zip(rows, machines):
        write_rows(out, [row], machine)
    found = read_rows(out, PROTOCOL)
    assert [found.machines[row]["device"] for row in rows[:3]] == machines


def test_a_file_that_is_no_such_file_is_left_as_it_is(tmp_path, here):
    out = tmp_path / "picture.png"
    out.write_bytes(b"\x89PNG of one line")
    with pytest.raises(UserError, match=r"picture.png: not a file of JSON lines"):
        build(out)
    assert out.read_bytes() == b"\x89PNG of one line"


def test_missing_trainings_and_disagreeing_ones_are_named(tmp_path):
    rows = jobs_of(SMALL, PROTOCOL)
    write_rows(tmp_path / "a.jsonl", rows)
    arguments = {"protocol": PROTOCOL, "console": QUIET}
    with pytest.raises(UserError, match="trainings are missing"):
        merge([tmp_path / "a.jsonl"], tmp_path / "l.jsonl", tmp_path / "table", **arguments)
    assert not (tmp_path / "table").exists()
    other = (tmp_path / "a.jsonl").read_text().replace('"valid_correct":[', '"valid_correct":[1')
    (tmp_path / "b.jsonl").write_text(other)
    with pytest.raises(UserError, match=r"b.jsonl: .*differs from another training on the same machine"):
        merge([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], tmp_path / "l.jsonl", tmp_path / "table", **arguments)


def test_a_seed_gives_the_same_training_again_and_learns():
    protocol = replace(PROTOCOL, channels=4, epochs=2, train_images=600)
    images = read_images(protocol)
    genotype = NASBench201Genotype(("nor_conv_3x3", "none", "skip_connect", "nor_conv_1x1", "none", "skip_connect"))
    one, again, other = (train(genotype, seed, images, protocol) for seed in (3, 3, 4))
    assert replace(one, seconds=0, evaluation_seconds=0) == replace(again, seconds=0, evaluation_seconds=0)
    assert one.test_loss != other.test_loss
    assert one.test_correct[-1] > 0.3 * protocol.test_images and one.valid_loss[-1] < one.valid_loss[0]
    assert len(images.tested) == 500 + protocol.test_images and abs(float(images.train.mean())) < 1e-5
