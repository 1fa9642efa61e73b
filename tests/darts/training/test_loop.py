"""The loop with a task of two numbers: non-finite losses, rollbacks, an end in time."""

import io
import math
import os
import signal
import threading

import pytest
import torch
from rich.console import Console

from darts.artifacts.checkpoint import CheckpointError, load, save
from darts.artifacts.log import RunLog, read_log
from darts.config import RunConfig
from darts.training.loop import MAX_ROLLBACKS, Diverged, Interrupted, train
from darts.training.progress import Clock


class Task:
    """Counts its steps; its loss at step ``fails`` is NaN as long as ``attempt`` is at most ``stubborn``."""

    kind, epochs, steps_per_epoch, evaluation_steps, attempt = "sum", 4, 10, 1, 0

    def __init__(self, fails=None, stubborn=0, poison=False, wait=0.0):
        self.weight, self.fails, self.stubborn, self.poison = torch.zeros(()), fails, stubborn, poison
        self.evaluations = 0
        self.begun = []

    def begin_epoch(self, epoch, step):
        self.at = epoch * self.steps_per_epoch + step
        self.begun.append((epoch, step, self.attempt))

    def step(self):
        self.at += 1
        failing = self.at == self.fails and self.attempt <= self.stubborn
        self.weight = self.weight + (math.nan if failing and self.poison else 1)
        loss = math.nan if failing and not self.poison else 1.0
        return {"loss": torch.tensor(loss), "images": torch.tensor(1)}

    def end_epoch(self, epoch, tell):
        self.evaluations += 1
        tell(1, 1)
        return {"test_accuracy": 0.5}

    def replicas(self):
        return {}

    def state(self):
        return {"weight": self.weight}

    def load_state(self, state):
        self.weight = state["weight"]


def run(task, folder, console=None, **options):
    defaults = {"report_every": 3, "checkpoint_minutes": 1e9}
    train(task, RunConfig(**(defaults | options)), folder, {}, console or Console(quiet=True))


@pytest.mark.parametrize("fails", [1, 14, 15, 40])
def test_a_loss_that_is_no_number_is_found_within_a_report_interval(fails, tmp_path):
    task = Task(fails)
    with pytest.raises(
        Diverged, match=r"train_loss is nan at step \d+; lower `weights.lr`.*`run.on_nan` rollback"
    ) as error:
        run(task, tmp_path)
    assert fails <= task.at < fails + 3
    epochs = (task.at - 1) // 10
    assert str(error.value).endswith(f"step_{10 * epochs:09d}.pt" if epochs else "none")


def test_a_weight_that_is_no_number_is_not_saved(tmp_path):
    with pytest.raises(Diverged, match="a weight is nan after step 20.*step_000000010.pt"):
        run(Task(20, poison=True), tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_000000010.pt"]


@pytest.mark.parametrize(("fails", "back"), [(2, (0, 0)), (14, (1, 0)), (40, (3, 0))])
def test_rollback_goes_on_from_the_last_good_checkpoint_in_another_way(fails, back, tmp_path):
    task = Task(fails, stubborn=1)
    run(task, tmp_path, on_nan="rollback")
    assert [begun[2] for begun in task.begun if begun[:2] == back] == [0, 1, 2]
    assert task.weight == 40
    steps = [(line["event"], line["step"]) for line in read_log(tmp_path)]
    assert len(steps) == len(set(steps)) and steps[-1] == ("epoch", 40)


def test_rollback_gives_up(tmp_path):
    task = Task(25, stubborn=MAX_ROLLBACKS)
    with pytest.raises(Diverged, match=f"gave up after {MAX_ROLLBACKS} rollbacks"):
        run(task, tmp_path, on_nan="rollback")
    assert task.attempt == MAX_ROLLBACKS


def test_how_often_a_run_went_back_survives_a_resume(tmp_path):
    task = Task(14)
    run(task, tmp_path, on_nan="rollback", max_steps=25)
    task = Task(14)
    run(task, tmp_path, on_nan="rollback", resume=True)
    assert task.attempt == 1 and task.weight == 40


def test_a_state_of_other_code_is_refused_and_the_one_before_taken(tmp_path):
    run(Task(), tmp_path, max_steps=25)
    newest = tmp_path / "checkpoints" / "step_000000025.pt"
    sound = load(newest)
    for wrong in (
        {"task": {}},
        {"task": None},
        {"position": {}},
        {"position": {**sound["position"], "step": "x"}},
        {"position": {**sound["position"], "sums": 3}},
    ):
        save(newest, {**sound, **wrong})
        told = io.StringIO()
        task = Task()
        run(task, tmp_path, Console(file=told, soft_wrap=True), resume=True, max_steps=20)
        assert f"refused: {newest}: written by other code" in told.getvalue() and task.weight == 20
    for path in newest.parent.iterdir():
        save(path, {**sound, "task": {}})
    begun = []
    with pytest.raises(CheckpointError, match="written by other code.*no checkpoint can be resumed"):
        train(Task(), RunConfig(resume=True), tmp_path, {}, Console(quiet=True), begun=lambda: begun.append(1))
    assert not begun


def test_a_run_ends_in_time_and_goes_on(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("darts.training.progress.time.monotonic", lambda: now[0])
    task = Task()
    step, end_epoch = task.step, task.end_epoch
    task.step = lambda: now.__setitem__(0, now[0] + 60) or step()
    task.end_epoch = lambda *args: now.__setitem__(0, now[0] + 300) or end_epoch(*args)
    run(task, tmp_path, max_hours=0.5)
    assert 1500 < now[0] <= 1800 and 10 < task.at < 40
    stopped = task.at
    assert (tmp_path / "checkpoints" / f"step_{stopped:09d}.pt").exists()
    assert read_log(tmp_path)[-1]["event"] == "epoch" and task.evaluations == 2
    again = Task()
    run(again, tmp_path, resume=True)
    assert again.weight == 40 and again.begun[0] == (1, stopped - 10, 0)


def test_before_an_evaluation_was_seen_its_batches_count_as_steps(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("darts.training.progress.time.monotonic", lambda: now[0])
    clock = Clock(0.0, 0, limit=100.0)
    now[0] = 40.0
    assert not clock.late(20, 20) and clock.late(20, 30)
    clock.evaluated(5.0)
    assert not clock.late(20, 30)


class StoppedWhileEvaluating(Task):
    """Gets a signal in its second evaluation."""

    def end_epoch(self, epoch, tell):
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)
        return super().end_epoch(epoch, tell)


def test_a_signal_ends_an_evaluation(tmp_path):
    with pytest.raises(
        Interrupted, match="during the evaluation of epoch 2; last checkpoint: .*step_000000010.pt"
    ) as stopped:
        run(StoppedWhileEvaluating(), tmp_path)
    assert stopped.value.code == 128 + signal.SIGINT
    task = Task()
    run(task, tmp_path, resume=True)
    assert task.begun[0] == (1, 0, 0) and task.weight == 40


class Weighted(Task):
    """Its weight depends on how often it was rolled back, and when; a signal comes at ``signalled``."""

    def __init__(self, fails=None, stubborn=0, signalled=None):
        super().__init__(fails, stubborn)
        self.signalled = signalled

    def step(self):
        sums = super().step()
        self.weight = self.weight + self.at * self.attempt
        if self.at == self.signalled:
            signal.raise_signal(signal.SIGTERM)
        return sums


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("signalled", [12, 15, 16])
def test_a_rollback_is_the_same_after_an_interruption_in_its_epoch(signalled, keep, tmp_path):
    options = {"on_nan": "rollback", "keep_checkpoints": keep}
    whole = Weighted(17, stubborn=1)
    run(whole, tmp_path / "whole", **options)
    with pytest.raises(Interrupted):
        run(Weighted(17, stubborn=1, signalled=signalled), tmp_path / "cut", **options)
    cut = Weighted(17, stubborn=1)
    run(cut, tmp_path / "cut", resume=True, **options)
    assert cut.weight == whole.weight and cut.attempt == whole.attempt == 2
    found = [[(line["event"], line["step"]) for line in read_log(tmp_path / name)] for name in ("whole", "cut")]
    assert found[0] == found[1]


@pytest.mark.parametrize("keep", [1, 2])
def test_a_torn_checkpoint_takes_no_place_in_the_quota(keep, tmp_path):
    run(Task(), tmp_path, max_steps=25)
    folder = tmp_path / "checkpoints"
    torn = folder / "step_000000999.pt"
    torn.write_bytes((folder / "step_000000025.pt").read_bytes()[:1000])
    with pytest.raises(Interrupted):
        run(Weighted(signalled=28), tmp_path, resume=True, keep_checkpoints=keep)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [*["step_000000025.pt"][: keep - 1], "step_000000028.pt", "step_000000999.pt.set-aside"]
    task = Task()
    run(task, tmp_path, resume=True, keep_checkpoints=keep)
    assert task.begun[0] == (2, 8, 0)


def test_options_that_refuse_every_checkpoint_leave_them_where_they_are(tmp_path):
    run(Task(), tmp_path, max_steps=25)
    before = sorted((tmp_path / "checkpoints").iterdir())
    with pytest.raises(CheckpointError, match="made with seed None, not 3"):
        train(Task(), RunConfig(resume=True), tmp_path, {"seed": 3}, Console(quiet=True))
    assert sorted((tmp_path / "checkpoints").iterdir()) == before


def test_what_killed_processes_left_is_cleared(tmp_path):
    run(Task(), tmp_path, max_steps=25)
    folder = tmp_path / "checkpoints"
    for name in (".step_000000026.pt.4711", ".step_000000003.pt.1", ".other"):
        (folder / name).write_bytes(b"x")
    alive = f".report.html.{os.getppid()}"
    for name in (".metrics.json.99999999999", ".config.json.4194305", ".x.1e3", alive):
        (tmp_path / name).write_bytes(b"x")
    run(Task(), tmp_path, resume=True)
    assert [path.name for path in folder.glob(".*")] == [".other"]
    assert {path.name for path in tmp_path.glob(".*")} == {".x.1e3", alive}


@pytest.mark.parametrize(
    "wrong",
    [
        {"epoch": 5},
        {"epoch": 4, "within": 3},
        {"epoch": True},
        {"step": 10**30},
        {"step": 3, "within": 5},
        {"attempt": 4},
        {"attempt": 10**20},
        {"epoch": 3, "step": 2, "within": 0},
        {"epoch": 0, "step": 25, "within": 5},
        {"sums": {}},
        {"sums": {"images": torch.tensor(0.0), "loss": torch.tensor(0.0)}},
        {"sums": {"images": torch.tensor(5.0), "loss": torch.tensor(math.nan)}},
        {"sums": {"images": torch.ones(3), "loss": torch.ones(3)}},
    ],
)
def test_a_position_that_cannot_be_is_refused(wrong, tmp_path):
    run(Task(), tmp_path, max_steps=25)
    newest = tmp_path / "checkpoints" / "step_000000025.pt"
    sound = load(newest)
    save(newest, {**sound, "position": {**sound["position"], **wrong}})
    task = Task()
    run(task, tmp_path, resume=True)
    assert task.begun[0] == (2, 0, 0) and task.weight == 40


def test_a_thread_can_train(tmp_path):
    task, failed = Task(), []

    def train_in_thread():
        try:
            run(task, tmp_path)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=train_in_thread)
    thread.start()
    thread.join()
    assert not failed and task.weight == 40


@pytest.mark.parametrize(("seconds", "expected"), [(2.0, "1:00:20"), (0.1, None)])
def test_the_time_left_is_estimated_once_from_the_first_steps(monkeypatch, seconds, expected):
    now = [0.0]
    monkeypatch.setattr("darts.training.progress.time.monotonic", lambda: now[0])
    clock, said = Clock(0.0, 100), []
    for step in range(101, 141):
        now[0] += 50.0 if step < 104 else seconds  # the first steps compile
        said.append(clock.estimate(step, 1923))
    assert [text for text in said if text] == ([expected] if expected else [])


def test_steps_of_minutes_are_estimated_after_a_minute(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("darts.training.progress.time.monotonic", lambda: now[0])
    clock, said = Clock(0.0, 0), []
    for step in range(1, 9):
        now[0] += 40.0
        said.append(clock.estimate(step, 105))
    assert said == [None] * 4 + ["1:06:40", None, None, None]


def printed(task, folder, terminal=False, **options):
    file = io.StringIO()
    run(task, folder, Console(file=file, soft_wrap=True, force_terminal=terminal), **options)
    return file.getvalue()


def test_a_log_file_gets_a_line_at_least_every_half_minute(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("darts.training.progress.time.monotonic", lambda: now[0])

    class Slow(Task):
        def step(self):
            now[0] += 8
            return super().step()

        def end_epoch(self, epoch, tell):
            for done in range(1, 5):
                now[0] += 8
                tell(done, 4)
            return super().end_epoch(epoch, tell)

    lines = printed(Slow(), tmp_path / "file").splitlines()
    first = [line for line in lines if line.startswith("epoch   1/4")]
    assert [line.split("  ")[2] for line in first[:-1]] == ["step 3/10", "step 6/10", "step 9/10", "evaluating 50 %"]
    assert "train loss 1.0000  0:24, 4:56 left" in first[0]
    assert "step 3/10" not in printed(Slow(), tmp_path / "terminal", terminal=True)


def test_a_run_that_was_cut_short_is_marked_until_it_is_resumed(tmp_path):
    run(Task(), tmp_path, max_steps=25)
    assert read_log(tmp_path)[-1]["stopped"] == "after 25 of 40"
    run(Task(), tmp_path, resume=True, max_steps=40)
    assert not any("stopped" in line for line in read_log(tmp_path))


class InterruptedTask(Task):
    """Gets a Ctrl-C that is not waited with, as a second one is, at a step; or at its end, for None."""

    def __init__(self, at):
        super().__init__()
        self.interrupted = at

    def step(self):
        if self.at + 1 == self.interrupted:
            raise KeyboardInterrupt
        return super().step()


@pytest.mark.parametrize(("at", "place"), [(3, "at once in epoch 1; last checkpoint: none"), (33, "step_000000030.pt")])
def test_a_second_ctrl_c_says_where_the_run_stands(at, place, tmp_path):
    with pytest.raises(Interrupted, match=place) as stopped:
        run(InterruptedTask(at), tmp_path)
    assert stopped.value.code == 130 and "--resume" in str(stopped.value)


def test_a_ctrl_c_after_the_last_step_says_that_the_training_is_done(tmp_path, monkeypatch):
    close = RunLog.close

    def interrupted(log):
        close(log)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunLog, "close", interrupted)
    with pytest.raises(Interrupted, match="while the results were written; the training is done"):
        run(Task(), tmp_path)
