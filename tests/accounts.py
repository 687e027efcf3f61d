"""Doing something as another account of the operating system, for tests that root runs."""

from __future__ import annotations

import os
import pickle
import pwd
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

__all__ = ["STRANGER", "log_in", "needs_root", "run_as"]

T = TypeVar("T")

STRANGER = "nobody"
"""An account that has nothing to do with a server."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")


def run_as(name: str, work: Callable[[], T]) -> T:
    """Return what `work` returns, or raise what it raises, in a process of that account.

    The process is forked, since the account may not be allowed to read the interpreter's own files.
    """
    entry = pwd.getpwnam(name)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        result: tuple[bool, Any]
        try:
            os.setgroups([])
            os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
            result = (True, work())
        except BaseException as error:  # noqa: BLE001 - raised in the other process
            result = (False, error)
        try:
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(result, pipe)
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        written = pipe.read()
    os.waitpid(child, 0)
    succeeded, found = pickle.loads(written)
    if not succeeded:
        raise found
    value: T = found
    return value


def log_in(path: Path, *, role: str = "postgres") -> str:
    """Try to log in through a server's socket; return the first letters of its answer, or the error of the system.

    `R` with 0 is: logged in. `E` is a refusal, whose text follows.
    """
    parameters = f"user\0{role}\0database\0postgres\0\0".encode()
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(10)
        try:
            one.connect(str(path))
        except OSError as error:
            return type(error).__name__
        one.sendall(struct.pack("!ii", 8 + len(parameters), 196608) + parameters)
        answer = one.recv(4096)
    if answer[:1] == b"R":
        return f"R{struct.unpack('!i', answer[5:9])[0]}"
    return answer.decode(errors="replace").replace("\0", " ")
