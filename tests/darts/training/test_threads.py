"""The number of threads: measured on the run's own steps, recorded, and without a trace in what is computed."""

import io
import itertools

import pytest
import torch
from rich.console import Console

from darts.artifacts.checkpoint import load
from darts.config import RunConfig
from darts.training import threads
from darts.training.loop import train
from darts.training.threads import Threads
from tests import tiny

EPOCHS, STEPS = 4, 20


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """As on a machine of two cores, whose user has set nothing; the number is noted, and one thread computes."""
    for name in threads.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    noted = [2]
    monkeypatch.setattr(torch, "get_num_threads", lambda: noted[-1])
    monkeypatch.setattr(torch, "set_num_threads", noted.append)
    yield
    assert noted[-1] == 2


class Task:
    """Adds random numbers to a weight, by generators of its own and PyTorch's."""

    kind, epochs, steps_per_epoch, evaluation_steps, attempt = "sum", EPOCHS, STEPS, 1, 0

    def __init__(self):
        self.weight, self.generator = torch.zeros(3), torch.Generator().manual_seed(0)
        self.at = None

    def begin_epoch(self, epoch, step):
        self.at = epoch, step

    def step(self):
        epoch, step = self.at
        self.at = epoch, step + 1
        torch.rand(1)
        self.weight = self.weight * 0.9 + torch.rand(3, generator=self.generator) + epoch * STEPS + step
        return {"loss": self.weight.sum(), "images": torch.tensor(1)}

    def end_epoch(self, epoch, report):
        return {}

    def replicas(self):
        return {"weight": self.weight}

    def state(self):
        return {"weight": self.weight, "generator": self.generator.get_state()}

    def load_state(self, state):
        self.weight = state["weight"]
        self.generator.set_state(state["generator"])


class Timed:
    """A task whose steps take as long as ``seconds`` says, by a clock of its own.

    ``seconds``: number of threads, steps taken before -> seconds.
    """

    def __init__(self, seconds, task=None):
        self.task, self.seconds, self.now, self.taken = task or Task(), seconds, 0.0, 0
        self.counts = []

    def __getattr__(self, name):
        return getattr(self.task, name)

    def clock(self):
        return self.now

    def step(self):
        self.now += self.seconds(torch.get_num_threads(), self.taken)
        self.taken += 1
        self.counts.append(torch.get_num_threads())
        return self.task.step()


def idle(count, _):
    return 1.0 / count


def busy(count, _):
    return 1.0 if count == 1 else 10.0


def run(task, folder, monkeypatch, probe=lambda count: 1.0, **options):
    """Train; return what was printed."""
    printed = io.StringIO()

    def timed(console, processes):
        return Threads(console, processes, clock=task.clock, probe=lambda: probe(torch.get_num_threads()))

    monkeypatch.setattr("darts.training.loop.Threads", timed)
    settings = RunConfig(**{"report_every": 5, "checkpoint_minutes": 1e9, "keep_checkpoints": 100, **options})
    train(task, settings, folder, {}, Console(file=printed, width=200))
    return printed.getvalue()


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def last(folder):
    return load(max((folder / "checkpoints").glob("step_*.pt")))


@pytest.mark.parametrize(("seconds", "chosen"), [(idle, 2), (busy, 1)])
def test_the_faster_number_is_chosen_and_said_in_one_line(seconds, chosen, tmp_path, monkeypatch):
    task = Timed(seconds)
    printed = run(task, tmp_path, monkeypatch)
    assert printed.count(f"computing with {chosen} of 2 threads: a step takes 1 s with 1, ") == 1
    assert task.counts[-EPOCHS * STEPS :] == [chosen] * EPOCHS * STEPS
    assert last(tmp_path)["threads"] == chosen


def test_on_a_busy_machine_no_whole_step_is_measured(tmp_path, monkeypatch):
    """It may take minutes with all threads: short convolutions tell."""
    task = Timed(busy)
    printed = run(task, tmp_path, monkeypatch, probe=lambda count: [0.1, 2.0][count - 1])
    assert "computing with 1 of 2 threads: the machine is busy, convolutions take 20 times as long with 2" in printed
    assert task.counts == [1] * EPOCHS * STEPS


def test_the_convolutions_take_some_time():
    assert 0 < threads.seconds_of_convolutions() < 60


@pytest.mark.parametrize("method", [None, "sdarts_rs"])
def test_a_measurement_leaves_no_trace(method, tmp_path, monkeypatch):
    """The state is that of a run with this number of threads in which nothing is measured."""

    def task():
        return Timed(idle, method and tiny.search(tiny.config(method, channels=2, epochs=3)))

    measured, plain = task(), task()
    monkeypatch.setattr(threads, "LEAST_STEPS", 2)
    torch.manual_seed(0)
    run(measured, tmp_path / "measured", monkeypatch)
    drawn = torch.rand(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    torch.manual_seed(0)
    assert "threads" not in run(plain, tmp_path / "plain", monkeypatch)
    assert torch.equal(drawn, torch.rand(1)) and measured.taken > plain.taken
    assert equal(measured.state(), plain.state())


def test_a_resumed_run_has_the_threads_that_it_had(tmp_path, monkeypatch):
    """Whatever is faster now; and the same state as a run that was never interrupted."""
    task = Timed(busy)
    run(task, tmp_path / "a", monkeypatch)
    run(Timed(busy), tmp_path / "b", monkeypatch, max_steps=33)
    resumed = Timed(idle)
    assert "computing with" not in run(resumed, tmp_path / "b", monkeypatch, resume=True)
    assert set(resumed.counts) == {1} and equal(resumed.state(), task.state())


@pytest.mark.parametrize("absurd", [0, -1, True, 1.5, "2", 10**9])
def test_an_absurd_number_is_refused(absurd):
    with pytest.raises(ValueError, match="is not a number of threads"):
        Threads(Console(quiet=True)).load_state(absurd)


def test_slow_steps_are_measured_again_and_the_change_is_saved(tmp_path, monkeypatch):
    """The machine becomes busy after 30 steps; a run resumed from there goes the same way."""
    monkeypatch.setattr(threads, "PATIENCE", 5.0)
    measured = 2 * threads.MEASURED_STEPS

    def seconds(count, taken):
        return (idle if taken < measured + 30 else busy)(count, taken)

    task = Timed(seconds)
    printed = run(task, tmp_path / "a", monkeypatch)
    assert printed.count("computing with 2 of 2 threads") == printed.count("computing with 1 of 2 threads") == 1
    counts = {int(path.stem[5:]): load(path)["threads"] for path in (tmp_path / "a" / "checkpoints").iterdir()}
    changed = min(step for step, count in counts.items() if count == 1)
    assert 30 < changed < 30 + threads.WINDOW and changed % STEPS
    assert all(count == (2 if step < changed else 1) for step, count in counts.items())
    for step in counts:
        if step > changed:
            (tmp_path / "a" / "checkpoints" / f"step_{step:09d}.pt").unlink()
    resumed = Timed(busy)
    run(resumed, tmp_path / "a", monkeypatch, resume=True)
    assert equal(resumed.state(), task.state())


def test_one_thread_is_measured_again_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "RETRY", 20.0)
    monkeypatch.setattr(threads, "PATIENCE", 5.0)
    task = Timed(lambda count, taken: (busy if taken < 10 else idle)(count, taken))
    run(task, tmp_path, monkeypatch)
    assert task.counts[-1] == 2 and 1 in task.counts[10:]


def test_nothing_is_measured_where_there_is_nothing_to_choose(tmp_path, monkeypatch):
    task = Timed(idle)
    for context in (Threads(Console(quiet=True), processes=2), short := Threads(Console(quiet=True))):
        context.choose_at_start(task, 0, 0, threads.LEAST_STEPS - (context is short))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    Threads(Console(quiet=True)).choose_at_start(task, 0, 0, 1000)
    torch.set_num_threads(1)
    monkeypatch.delenv("OMP_NUM_THREADS")
    Threads(Console(quiet=True)).choose_at_start(task, 0, 0, 1000)
    torch.set_num_threads(2)
    assert task.taken == 0


def test_steps_of_changing_length_are_not_slow():
    lengths = itertools.cycle([1.0, 1.0, 5.0])
    now = itertools.accumulate(lengths)
    watched = Threads(Console(quiet=True), clock=lambda: next(now))
    assert not any(watched.slow() for _ in range(200))
