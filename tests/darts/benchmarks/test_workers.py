"""Jobs in several processes: each is done once, and a process that dies is named."""

import io
import os
import signal

import pytest
from rich.console import Console

from darts.benchmarks.workers import in_processes, worked_off
from darts.errors import UserError
from darts.training.loop import Interrupted


def squares():
    return lambda job: (job * job, os.getpid())


def dying():
    return lambda job: os._exit(7)


def test_each_job_is_done_once_in_other_processes():
    ended = [found for found in in_processes(squares, range(20), 2, lambda: False) if found is not None]
    assert sorted((job, result) for job, (result, _) in ended) == [(job, job * job) for job in range(20)]
    assert os.getpid() not in {pid for _, (_, pid) in ended}


def test_a_process_that_dies_is_an_error():
    with pytest.raises(UserError, match="ended with exit code 7"):
        list(in_processes(dying, [1], 1, lambda: False))


def test_it_stops_when_asked():
    answers = iter([False, True])
    assert len(list(in_processes(squares, range(1000), 1, lambda: next(answers)))) == 1


def test_it_ends_with_where_it_stands():
    console = Console(width=200, file=io.StringIO())
    options = {"things": "squares", "console": console, "size": lambda job: job}
    found = dict(worked_off(squares, [1, 2, 3], 1, **options))
    assert [found[job][0] for job in (1, 2, 3)] == [1, 4, 9] and console.file.getvalue() == ""
    list(worked_off(squares, [1, 2, 3], 1, max_seconds=1e-9, **options))
    assert "of 6 squares" in console.file.getvalue() and "the same command continues" in console.file.getvalue()
    with pytest.raises(Interrupted, match=r"stopped: . of 6 squares, .* left") as stopped:
        for _ in worked_off(squares, [1, 2, 3], 1, **options):
            os.kill(os.getpid(), signal.SIGINT)
    assert stopped.value.code == 130
