"""Jobs that several workers share: each done once, in the order of their needs, continued after an interruption."""

import multiprocessing
import re
import sqlite3
from contextlib import closing

import pytest
import torch
from rich.console import Console

from darts.errors import UserError
from darts.experiments.jobs import Job, _claimed, carry_out, open_experiment

FORK = multiprocessing.get_context("fork")
"""Another process: a lock belongs to a process."""

QUIET, CPU = Console(quiet=True), torch.device("cpu")


class Log:
    """Jobs that note when they are done; ``stops`` interrupts the one of that name, once."""

    def __init__(self, stops=None):
        self.done, self.stops = [], stops

    def job(self, name, kind="train", needs=()):
        def do(before):
            if self.stops == name:
                self.stops = None
                raise KeyboardInterrupt
            self.done.append(name)
            return {"sum": 1 + sum(before[each]["sum"] for each in needs)}

        return Job(name, kind, do, tuple(needs))

    def jobs(self):
        return [self.job("b", needs=("a",)), self.job("a", "search"), self.job("c", needs=("a", "b"))]


def opened(folder, settings=None):
    return open_experiment(folder, None, settings or {"epochs": 3}, CPU)


def test_each_job_is_done_once_after_what_it_needs(tmp_path):
    log = Log()
    found = carry_out(opened(tmp_path / "e"), log.jobs(), QUIET)
    assert log.done == ["a", "b", "c"] and found == {"b": {"sum": 2}, "a": {"sum": 1}, "c": {"sum": 4}}
    more = [*log.jobs(), log.job("d", needs=("c",))]
    experiment = opened(tmp_path / "e")
    assert carry_out(experiment, more, QUIET)["d"] == {"sum": 5}
    assert log.done == ["a", "b", "c", "d"], "what was done before is not done again"
    (machine,) = experiment.machines()
    assert machine["torch"] and set(experiment.seconds()) == {"a", "b", "c", "d"}


def test_an_interrupted_job_is_done_by_the_next_worker(tmp_path):
    log = Log(stops="b")
    with pytest.raises(KeyboardInterrupt):
        carry_out(opened(tmp_path / "e"), log.jobs(), QUIET)
    assert log.done == ["a"]
    assert carry_out(opened(tmp_path / "e"), log.jobs(), QUIET)["c"] == {"sum": 4} and log.done == ["a", "b", "c"]


def test_a_job_of_a_worker_that_is_alive_is_left_to_it(tmp_path):
    seen = []

    def other_worker(found):
        other = opened(tmp_path / "e")
        with other.claims.deciding():
            trial, left = _claimed(other, jobs)
        other.claims.release(trial.number)
        found.send((trial.user_attrs["job"], left))

    def look(before):
        found, end = FORK.Pipe(duplex=False)
        worker = FORK.Process(target=other_worker, args=(end,))
        worker.start()
        seen.append(found.recv())
        worker.join()
        return {}

    jobs = [Job("first", "train", look), Job("second", "train", lambda before: {})]
    carry_out(opened(tmp_path / "e"), jobs, QUIET)
    assert seen == [("second", 2)]


def test_an_experiment_of_other_settings_is_not_continued(tmp_path):
    opened(tmp_path / "e")
    with pytest.raises(UserError, match=r"study.db: made with `epochs` 3, not 4; choose another `name`"):
        opened(tmp_path / "e", {"epochs": 4})


def test_a_damaged_record_is_refused(tmp_path):
    carry_out(opened(tmp_path / "e"), Log().jobs(), QUIET)
    with closing(sqlite3.connect(tmp_path / "e" / "study.db")) as storage, storage:
        storage.execute("UPDATE trial_user_attributes SET value_json = '5' WHERE key = 'figures'")
    with pytest.raises(UserError, match=r"a damaged study \(trial 1 has 'figures' '5', which is not an object"):
        opened(tmp_path / "e")


def test_the_work_that_is_left_is_estimated_from_jobs_of_the_same_kind(tmp_path):
    console = Console(record=True, width=200)
    log = Log()
    carry_out(opened(tmp_path / "e"), log.jobs(), console)
    first, second, third = console.export_text().splitlines()
    assert (first, second) == ("a: job 1 of 3", "b: job 2 of 3")
    assert re.fullmatch(r"c: job 3 of 3, \d+\.\d s of work left", third)
