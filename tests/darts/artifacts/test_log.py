"""The log after interruptions, damage and hand edits; TensorBoard beside it."""

import json
import shutil

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from darts.artifacts.log import RunLog, read_log
from darts.artifacts.tensorboard import write_results


def logged(folder, start, end, saved=None, listener=lambda message: None):
    """A run of ten steps an epoch, from the position ``start`` on, that is killed after step ``end``."""
    log = RunLog(folder, start // 10, start, listener)
    for step in range(start + 1, end + 1):
        log.write("step", {"train_loss": 1.0 / step}, (step - 1) // 10, step, float(step))
        if step % 10 == 0:
            log.write("epoch", {"valid_accuracy": step / 100}, step // 10 - 1, step, float(step))
            log.flush_to_disk()
    log.close()


def points(folder, tag):
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [event.step for event in events.Scalars(tag)]


@pytest.mark.parametrize(("killed", "resumed"), [(17, 10), (10, 10), (25, 20), (7, 0), (30, 30)])
def test_every_line_and_point_is_there_once(killed, resumed, tmp_path):
    logged(tmp_path, 0, killed)
    logged(tmp_path, resumed, 30)
    steps = [line["step"] for line in read_log(tmp_path) if line["event"] == "step"]
    assert steps == list(range(1, 31)) == points(tmp_path, "step/train_loss")
    assert points(tmp_path, "epoch/valid_accuracy") == [10, 20, 30]


@pytest.mark.parametrize(
    "foreign",
    [
        "3",
        "null",
        "[1, 2]",
        '"text"',
        "{}",
        '{"event": "step"}',
        '{"event": "note", "epoch": 0, "step": 1, "seconds": 1}',
        '{"event": "step", "epoch": "0", "step": 1, "seconds": 1}',
        '{"event": "step", "epoch": 0, "step": true, "seconds": 1}',
        '{"event": "step", "epoch": 0, "step": 1, "seconds": NaN}',
        '{"event": "step", "epoch": 0, "step": -1, "seconds": 1}',
        '{"event": "step", "epoch": 0, "step": 1',
        "\0\0\0\0",
        "[" * 100_000,
    ],
)
def test_foreign_lines_are_left_out(foreign, tmp_path):
    logged(tmp_path, 0, 10)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    (tmp_path / "log.jsonl").write_text("\n".join([foreign, *lines[:4], foreign, *lines[4:], foreign]))
    assert len(read_log(tmp_path)) == 11
    logged(tmp_path, 10, 20)
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").open()] == [
        *range(1, 11),
        10,
        *range(11, 21),
        20,
    ]


def test_a_line_that_is_there_twice_is_kept_once(tmp_path):
    logged(tmp_path, 0, 10)
    path = tmp_path / "log.jsonl"
    path.write_text(path.read_text() + path.read_text())
    RunLog(tmp_path, 1, 10).close()
    assert len(read_log(tmp_path)) == 11


def test_results_are_shown_once_however_often_they_are_written(tmp_path):
    logged(tmp_path, 0, 10)
    (tmp_path / "config.json").write_text(json.dumps({"config": {"epochs": 1}}))
    (tmp_path / "metrics.json").write_text(json.dumps({"valid_accuracy": 0.5}))
    for _ in range(2):
        write_results(tmp_path)
    assert points(tmp_path, "final/valid_accuracy") == [0]


def test_a_run_continues_where_tensorboard_cannot_be_written(tmp_path):
    said = []
    (tmp_path / "tensorboard").write_text("a file in the place of the folder")
    logged(tmp_path, 0, 10, listener=said.append)
    assert len(read_log(tmp_path)) == 11 and len(said) == 1 and "continues without TensorBoard" in said[0]


def test_the_folder_may_vanish(tmp_path):
    log = RunLog(tmp_path, 0, 0)
    log.write("step", {"train_loss": 1.0}, 0, 1, 1.0)
    shutil.rmtree(tmp_path / "tensorboard")
    log.write("step", {"train_loss": 1.0}, 0, 2, 1.0)
    log.close()
    assert len(read_log(tmp_path)) == 2
