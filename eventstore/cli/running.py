"""How a command runs: its coroutine, its exit status, and what it says when it cannot go on.

Exit status: 0 done; 1 a proof found a difference, or what was asked for is not there; 2 something is wrong with what was
given or with the database, and one line on standard error says what to do; 70 a fault of this program, with its traceback;
130 and 143 interrupted by SIGINT (Ctrl-C) and SIGTERM, everything put away.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer

from eventstore.cli.output import say_error, say_fault
from eventstore.errors import (
    ConfigurationError,
    EntityNotFoundError,
    EventNotFoundError,
    EventStoreError,
    KeyNotQuarantinedError,
)
from eventstore.printable import printable, text_of_error


class NotFoundError(ConfigurationError):
    """What a command was asked for is not there."""


DIFFERENT = 1
"""Exit status: a proof found a difference, or what was asked for is not there."""

BAD_INPUT = 2
"""Exit status: what was given, or the database, is not as it must be."""

FAULT = 70
"""Exit status: a fault of this program; its traceback is on standard error. (EX_SOFTWARE of sysexits.h)"""

INTERRUPTED = 128
"""Exit status of an interruption, less the signal's number."""

_NOT_FOUND = (EntityNotFoundError, EventNotFoundError, KeyNotQuarantinedError, NotFoundError)

# Every usage error of the command line derives from the base of this one, whatever typer's version.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def exit_status_of(command: Callable[[], Any]) -> int:
    """Run a command and return its exit status; say on standard error, in one line, why it could not go on."""
    terminated = False

    def terminate(_number: int, _frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True
        signal.raise_signal(signal.SIGINT)

    _configure_logging()
    before = signal.signal(signal.SIGTERM, terminate)
    was_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if (
        was_ignored
    ):  # as a shell without job control has it for what it starts with `&`; SIGTERM would be ignored with it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = command()
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED + signal.SIGINT
    except BrokenPipeError:
        # Who read our output has gone, as `head` does. Nothing more can be said, not even at the exit.
        sys.stdout = None
        return INTERRUPTED + signal.SIGPIPE
    except Exception as error:  # noqa: BLE001 - none is lost: a fault ends in its traceback
        line = _in_one_line(error)
        if line is None:
            say_fault(error)
            return FAULT
        if isinstance(_first(error), _NOT_FOUND):
            say_error(f"not found: {line}")
            return DIFFERENT
        say_error(line)
        return BAD_INPUT
    finally:
        signal.signal(signal.SIGTERM, before)
        if was_ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (
        terminated and status == INTERRUPTED + signal.SIGINT
    ):  # typer's own status where it caught the interruption
        return INTERRUPTED + signal.SIGTERM
    return status if isinstance(status, int) else 0


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off SIGINT and SIGTERM to the end of a block that must not be left half done, and is short."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: came.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _configure_logging() -> None:
    """Warnings go to standard error, a line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        because = f": {_message(error)}" if error is not None else ""
        return printable(f"eventstore: {record.levelname.lower()}: {record.getMessage()}{because}")


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _in_one_line(error: BaseException) -> str | None:
    """Return what a user is told of an error; None where it is a fault of this program."""
    error = _first(error)
    if isinstance(error, _UsageError):
        message = error.format_message()  # type: ignore[attr-defined]
        context = getattr(error, "ctx", None)
        path = "eventstore" if context is None else context.command_path
        return f"{' '.join(message.split())} (see {path} --help)"
    return _message(error) if isinstance(error, EventStoreError) else None


def _message(error: BaseException) -> str:
    """Return what an error says, in one line; its class where it says nothing, or cannot."""
    try:
        return " ".join(str(error).split()) or type(error).__name__
    except Exception:  # noqa: BLE001 - the error of a projection of anybody's
        return text_of_error(error)
