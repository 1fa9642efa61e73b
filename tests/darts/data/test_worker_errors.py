"""Errors of worker processes are one line that says what to do."""

import errno
from types import SimpleNamespace

import pytest

from darts.data.worker_errors import without_traceback
from darts.errors import UserError

SHARED, HANDLES, KILLED = "too little shared memory .*--shm-size", "too few file handles .*ulimit", "was killed"


class Loader:
    """A loader of two workers that fails."""

    num_workers = 2

    def __init__(self, error):
        self.error = error

    def __iter__(self):
        yield 1
        raise self.error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's "
                      "workers are out of shared memory. Please try to raise your shared memory limit."), SHARED),
        (RuntimeError("unable to allocate shared memory(shm) for file </torch_9_1_2>: Resource (11)"), SHARED),
        (RuntimeError("unable to write to file </torch_3_2_1>: No space left on device (28)"), SHARED),
        (OSError(errno.ENOSPC, "No space left on device"), SHARED),
        (OSError(errno.EMFILE, "Too many open files"), HANDLES),
        (RuntimeError("received 0 items of ancdata"), HANDLES),
        (RuntimeError("DataLoader worker (pid(s) 12) exited unexpectedly"), KILLED),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), KILLED),
        (UserError("Caught UserError\nTraceback ...\ndarts.errors.UserError: a.png: a damaged image"), "^a.png"),
    ],
)  # fmt: skip
def test_one_line(error, message):
    batches = without_traceback(Loader(error))
    assert next(batches) == 1
    with pytest.raises(UserError, match=message) as found:
        next(batches)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), KeyError("x")])
def test_other_errors_pass(error):
    with pytest.raises(type(error)):
        list(without_traceback(Loader(error)))


def test_too_little_shared_memory_is_seen_before_workers_start(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2**16))
    with pytest.raises(UserError, match=SHARED):
        next(without_traceback(Loader(KeyError())))
    monkeypatch.setattr(Loader, "num_workers", 0)
    assert next(without_traceback(Loader(KeyError()))) == 1
