"""The build: parts, continuation after a kill, agreement of files, and what is refused."""

import io
import json
import os
import re
import signal
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console

from darts.benchmarks import workers
from darts.benchmarks.digits import building
from darts.benchmarks.digits.building import SIDE_BY_SIDE, Part, jobs_of, part_of
from darts.benchmarks.digits.json_lines import LinesWriter
from darts.benchmarks.digits.merging import merge
from darts.benchmarks.digits.rows import read_rows
from darts.benchmarks.digits.training import PROTOCOL, TEST_IMAGES, Images, read_images, train
from darts.errors import UserError
from genotypes.types.nasbench201 import from_string
from supernet.ops import BatchNorm
from tests.darts.benchmarks.digits.conftest import QUIET, made_up, write_rows

SMALL = Part(1, 119)
"""Two stacks."""


@pytest.fixture
def here(monkeypatch):
    """Trainings are made up, in this process."""

    def trainings(make, jobs, processes, stop):
        for stack in jobs:
            yield stack, [made_up(*row) for row in stack]
            if stop():
                return

    monkeypatch.setattr(workers, "in_processes", trainings)


def build(out, part=SMALL, **options):
    options = {"processes": 1, "max_seconds": None, "protocol": PROTOCOL, "console": QUIET, **options}
    return building.build(out, part, **options)


def test_parts_divide_all_trainings():
    parts = [jobs_of(Part(number, 7), PROTOCOL) for number in range(1, 8)]
    assert sorted(row for part in parts for row in part) == sorted(jobs_of(Part(1, 1), PROTOCOL))
    assert max(map(len, parts)) - min(map(len, parts)) <= SIDE_BY_SIDE
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


def test_two_processes_do_not_write_to_one_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    read, write = os.pipe()
    child = os.fork()
    if not child:
        LinesWriter(path)
        os.write(write, b"x")
        signal.pause()
    os.read(read, 1)
    try:
        with pytest.raises(UserError, match=r"rows.jsonl is in use by a running process"):
            LinesWriter(path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)
    LinesWriter(path).close()
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_it_stops_in_time_and_says_what_is_left(tmp_path, here):
    console = Console(width=200, file=io.StringIO())
    left = build(tmp_path / "rows.jsonl", max_seconds=1e-9, console=console)
    assert left == len(jobs_of(SMALL, PROTOCOL)) - SIDE_BY_SIDE
    first, last = console.file.getvalue().splitlines()
    assert re.match(r"0 of 132 trainings are in .*rows.jsonl", first)
    assert re.match(r"66 of 132 trainings, .* left; the same command continues", last)


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


@pytest.fixture
def in_float64():
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(usual)


CELLS = (
    "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|",
    "|nor_conv_1x1~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
)


def test_networks_side_by_side_are_trained_as_each_by_itself(in_float64):
    """Against PyTorch's own loop on the space's network, with one step of an epoch shorter than the others."""
    protocol = replace(PROTOCOL, channels=4, layers=2, epochs=2, batch_size=32)
    data = read_images()
    images = Images(data.train[:80].double(), data.train_labels[:80], data.tested.double(), data.tested_labels)
    rows = [(cell, seed) for cell in CELLS for seed in (0, 5)]
    for (architecture, seed), found in zip(rows, train(rows, images, protocol)):
        torch.manual_seed(seed)
        network = protocol.space.network(from_string(architecture))
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.momentum = protocol.norm_momentum
        optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)
        order = torch.Generator().manual_seed(seed)
        for epoch in range(2):
            network.train()
            for chosen in torch.randperm(80, generator=order).split(32):
                loss = F.cross_entropy(network(images.train[chosen]), images.train_labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            with torch.inference_mode():
                logits = network.eval()(images.tested)
            for part, correct, losses in (
                (slice(0, 500), found.valid_correct, found.valid_loss),
                (slice(500, None), found.test_correct, found.test_loss),
            ):
                wanted, labels = logits[part], images.tested_labels[part]
                assert correct[epoch] == int((wanted.argmax(1) == labels).sum())
                assert losses[epoch] == pytest.approx(float(F.cross_entropy(wanted, labels)), abs=1e-4)


def test_a_seed_gives_the_same_training_again_and_learns():
    protocol, images = replace(PROTOCOL, channels=8, epochs=3), read_images()
    rows = [(CELLS[0], seed) for seed in (3, 4)]
    one, again = train(rows, images, protocol), train(rows, images, protocol)
    plain = [[replace(each, seconds=0, evaluation_seconds=0) for each in made] for made in (one, again)]
    assert plain[0] == plain[1] and one[0].test_loss != one[1].test_loss
    assert one[0].test_correct[-1] > 0.25 * TEST_IMAGES


def test_the_data_set_is_divided_by_digit():
    """No test digit has a copy among the training images; copies differ by their noise, about as wide as the ink."""
    images = read_images()
    assert len(images.train) == 600 * 2 and len(images.tested) == 500 + TEST_IMAGES == 1197
    copies = images.train.view(2, 600, 64)
    mean = copies.mean(0)
    noise = (copies - mean).std() * 2**0.5
    assert 0.6 < float(noise) / float((mean.var() - noise**2 / 2).sqrt()) < 1.4
    assert torch.equal(images.train_labels.view(2, 600), images.train_labels[:600].expand(2, -1))
    nearest = torch.cdist(images.tested.flatten(1), mean)
    assert float(nearest.min()) > 0.5 * float(noise) * 8
