"""Shared code of the benchmarks' commands: usage errors of one line, and an end that leaves no server behind."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

from rich.console import Console

from benchmarks.running import run
from eventstore.cli.running import exit_status_of

__all__ = ["Parser", "at_least_one", "console", "run_command"]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and leave with status 2."""
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def at_least_one(text: str) -> int:
    """A number of things to do or to have."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def console() -> Console:
    """The console for the report; if it is not a terminal, it is as wide as the tables."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def run_command(work: Coroutine[Any, Any, Any]) -> int:
    """Run to the end, or to Ctrl-C or SIGTERM, which stop the server too; return the exit status."""

    def command() -> int:
        run(work)
        return 0

    return exit_status_of(command)
