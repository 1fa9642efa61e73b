"""Jobs in several processes: each is done once, and a process that dies is named."""

import os

import pytest

from darts.benchmarks.workers import in_processes
from darts.errors import UserError


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
