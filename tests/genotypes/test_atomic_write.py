import errno
import os
from pathlib import Path

import pytest

from genotypes.atomic_write import require_writable, write_atomically


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_replaced_only_where_asked(tmp_path, monkeypatch, links):
    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "a" / "b"
    write_atomically(path, b"first", replace=False)
    with pytest.raises(FileExistsError):
        write_atomically(path, b"second", replace=False)
    assert path.read_bytes() == b"first"
    write_atomically(path, b"third")
    assert path.read_bytes() == b"third" and list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_places_that_cannot_be_written_are_found_before_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"old")
    for place in (Path("."), Path("/"), tmp_path, tmp_path / "file" / "x", Path("/proc/none/x")):
        for action in (require_writable, lambda path: write_atomically(path, b"new")):
            with pytest.raises(OSError) as error:
                action(place)
            assert error.value.errno is not None and error.value.filename
    require_writable(tmp_path / "file")
    require_writable(tmp_path / "new" / "file")
    assert (tmp_path / "file").read_bytes() == b"old" and not list((tmp_path / "new").iterdir())


def test_a_device_or_pipe_stays_one(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(path, b"content", replace=True)
    write_atomically(path, b", more", replace=False)
    assert os.read(reader, 100) == b"content, more" and path.is_fifo() and list(tmp_path.iterdir()) == [path]
    os.close(reader)


def test_a_folder_that_cannot_be_synchronized(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EACCES, "no reading here")

    monkeypatch.setattr(os, "open", refuse)
    write_atomically(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
