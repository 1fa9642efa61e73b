"""The real scripts as a user runs them: a process of their own, tiny budgets."""

import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path

import numpy as np
from rich.console import Console

from darts.processes import SINGLE_PROCESS

ROOT = Path(__file__).parent.parent


def write_images(path, count=60, size=8, classes=3):
    """An .npz whose classes differ in brightness, so that something can be learnt."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    images = rng.integers(0, 80, (count, size, size), np.uint8) + (labels * 60).astype(np.uint8)[:, None, None]
    np.savez(path, images=images, labels=labels)


class Script:
    """A script that runs in a child of the fork server, with the methods of ``subprocess.Popen`` that tests use."""

    def __init__(self, command, cwd, environment):
        self.returncode, self.status = None, b""
        readers, writers = zip(*(os.pipe() for _ in range(3)))
        request = {"command": command, "cwd": str(cwd), "environment": environment}
        socket.send_fds(_fork_server(), [json.dumps(request).encode()], writers)
        for writer in writers:
            os.close(writer)
        *outputs, self._status = readers
        self._outputs = [open(output, encoding="utf-8", errors="replace") for output in outputs]
        self._read_status(lines=1)
        self.pid = int(self.status.split()[0])

    def _read_status(self, lines, timeout=None):
        """Read what the supervisor writes, up to a number of lines; all of it may be there already."""
        while self.status.count(b"\n") < lines:
            ready, _, _ = select.select([self._status], [], [], timeout)
            content = os.read(self._status, 100) if ready else b""
            if not content:
                return
            self.status += content

    def poll(self):
        if self.returncode is None:
            self._read_status(lines=2, timeout=0)
            self._note()
        return self.returncode

    def _note(self):
        lines = self.status.splitlines()
        if len(lines) == 2:
            self.returncode = int(lines[1])

    def send_signal(self, number):
        os.kill(self.pid, number)

    def communicate(self, timeout=None):
        """Wait for the end. What was printed on both streams."""
        with ThreadPoolExecutor(2) as pool:
            reading = [pool.submit(output.read) for output in self._outputs]
            _, late = wait(reading, timeout)
            if late:
                self.send_signal(signal.SIGKILL)
            printed = [text.result() for text in reading]
        assert not late, ("timeout", *printed)
        if self.returncode is None:
            self._read_status(lines=2)
            self._note()
        for output in self._outputs:
            output.close()
        os.close(self._status)
        return tuple(printed)


@cache
def _fork_server():
    """The socket to this test process's server, which ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.fork_server"]
    subprocess.Popen(command, cwd=ROOT, env=environment, stdin=theirs)
    theirs.close()
    return ours


def start(script, *arguments, cwd, imports=False):
    """A script as ``python SCRIPT ARGUMENTS`` runs it; unless its imports matter, in a child that has made them."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [str(ROOT / script), *map(str, arguments)]
    if imports:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([sys.executable, *command], cwd=cwd, env=environment, text=True, **streams)
    return Script(command, cwd, environment)


def run(script, *arguments, cwd, imports=False):
    """Exit code and all that was printed."""
    process = start(script, *arguments, cwd=cwd, imports=imports)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def said(script, *arguments):
    """Return what a script, given as a module, prints when it runs in this process; a mistake is raised."""
    console = Console(file=io.StringIO(), soft_wrap=True)
    script.main([str(argument) for argument in arguments], console, SINGLE_PROCESS)
    return console.file.getvalue()


def newest_step(folder):
    return max((int(path.stem.split("_")[1]) for path in (folder / "checkpoints").glob("step_*.pt")), default=0)


def stop_after(process, folder, step, number=signal.SIGKILL, delay=0.0):
    """Send a signal ``delay`` seconds after a checkpoint of this step is there. The exit code, and what was printed."""
    deadline = time.monotonic() + 120
    while process.poll() is None and newest_step(folder) < step and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(delay)
    assert process.poll() is None, process.communicate()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err
