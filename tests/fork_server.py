"""A process that has imported the scripts' modules, and forks itself for each script that a test runs.

Importing PyTorch takes seconds. The child runs the script as ``python SCRIPT ARGUMENTS`` would: as ``__main__``, in its
own folder and environment, to the interpreter's normal end. Requests come through the socket on standard input, one at
a time: a line of JSON with ``command``, ``cwd`` and ``environment``, and three file descriptors: standard output,
standard error, and a pipe to which the process number is written at the start, and the exit code at the end.
"""

import array
import json
import os
import runpy
import signal
import socket
import sys

import torch._dynamo  # noqa: F401  # PyTorch imports it when an optimizer is made

import train_final  # noqa: F401
import train_search  # noqa: F401

REQUEST_BYTES = 10**6


def serve(requests):
    """Answer requests until the other side closes; returns in each child, with what it has to run."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the supervisors need no parent that waits
    while True:
        request, descriptors = receive(requests)
        if request is None:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            supervise(descriptors)
            return request
        for descriptor in descriptors:
            os.close(descriptor)


def receive(requests):
    """Return the next request and its file descriptors; None where the other side has closed."""
    descriptors = array.array("i")
    text, ancillary, _, _ = requests.recvmsg(REQUEST_BYTES, socket.CMSG_SPACE(3 * descriptors.itemsize))
    for _, _, content in ancillary:
        descriptors.frombytes(content)
    return (json.loads(text) if text else None), list(descriptors)


def supervise(descriptors):
    """Fork the process that runs the script, and report its number and exit code; returns in the child alone."""
    output, errors, status = descriptors
    child = os.fork()
    if child:
        os.close(output)
        os.close(errors)
        os.write(status, f"{child}\n".encode())
        _, ended = os.waitpid(child, 0)
        os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
        os._exit(0)
    os.close(status)
    for descriptor, stream in ((output, 1), (errors, 2)):
        os.dup2(descriptor, stream)
        os.close(descriptor)


def main():
    with socket.socket(fileno=os.dup(0)) as requests:
        request = serve(requests)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["command"]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
