"""A process that has imported the command line and forks for each command: an import takes longer than most commands do.

A connection to its socket brings the arguments, the environment and the working folder as JSON, with standard input, output
and error. It gets the id of the process that runs the command, a line feed, and at the end its status. What the command does
is what `python -W error -m eventstore.cli` would do.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import socket
import sys

import typer.rich_utils

import eventstore.cli.application

BYTES_MAX = 2**20


def serve(listener: socket.socket) -> None:
    """Fork for each connection; return in the process of a command."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that wait for commands are not waited for
    parent = os.getppid()
    listener.settimeout(5)
    while os.getppid() == parent:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        if os.fork() == 0:
            listener.close()
            _wait_for_command(connection)
            return
        connection.close()
    os._exit(0)


def _wait_for_command(connection: socket.socket) -> None:
    """Fork the process of the command and return in it; in this one, report its status and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, descriptors, _, _ = socket.recv_fds(connection, BYTES_MAX, 3)
    pid = os.fork()
    if pid:
        connection.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    connection.close()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    wanted = json.loads(request)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    path = wanted["environment"].get("PYTHONPATH", "")
    sys.path[:1] = [wanted["folder"], *filter(None, path.split(os.pathsep))]
    sys.argv[1:] = wanted["arguments"]


if __name__ == "__main__":
    gc.freeze()  # so that a fork shares the memory of what was imported
    assert {typer.rich_utils, eventstore.cli.application}
    with socket.socket(fileno=int(sys.argv[1])) as given:
        serve(given)
    runpy.run_module("eventstore.cli", run_name="__main__", alter_sys=True)
