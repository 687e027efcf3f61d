"""How a command runs: its exit status, and the line that it prints when it cannot go on.

Exit status: 0 done; 1 a proof found a difference, or the requested object does not exist; 2 an argument
or the database is wrong, and one line on standard error says what to do; 70 a bug in this program,
with its traceback; 130 and 143 interrupted by SIGINT (Ctrl-C) and SIGTERM, everything cleaned up.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

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
    """The object that the command needs does not exist."""


DIFFERENT = 1
"""Exit status: a proof found a difference, or the requested object does not exist."""

BAD_INPUT = 2
"""Exit status: an argument or the database is wrong."""

T = TypeVar("T")

FAULT = 70
"""Exit status: a bug in this program; its traceback is on standard error (EX_SOFTWARE of sysexits.h)."""

INTERRUPTED = 128
"""Exit status of an interruption, minus the number of the signal."""

_NOT_FOUND = (EntityNotFoundError, EventNotFoundError, KeyNotQuarantinedError, NotFoundError)

# In every version of typer, all usage errors derive from the base class of this one.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def exit_status_of(command: Callable[[], Any]) -> int:
    """Run a command and return its exit status; print an error as one line to standard error."""
    terminated = False

    def terminate(_number: int, _frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True
        signal.raise_signal(signal.SIGINT)

    _configure_logging()
    before = signal.signal(signal.SIGTERM, terminate)
    was_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    # A shell without job control starts background commands (`&`) with SIGINT ignored. `terminate` raises
    # SIGINT, so SIGTERM would be ignored too.
    if was_ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = command()
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED + signal.SIGINT
    except BrokenPipeError:
        # The reader of our output, such as `head`, has gone. Python must not write at the exit either.
        sys.stdout = None
        return INTERRUPTED + signal.SIGPIPE
    except Exception as error:  # noqa: BLE001 - no error is lost: a bug prints its traceback
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
    # typer returns this status if it catches the interruption itself.
    if terminated and status == INTERRUPTED + signal.SIGINT:
        return INTERRUPTED + signal.SIGTERM
    return status if isinstance(status, int) else 0


def run_long(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that takes long, by uvloop if that is installed: a trading day takes a tenth less processor time."""
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with suppress(ModuleNotFoundError):
        from uvloop import new_event_loop as loop_factory  # noqa: PLC0415 - the extra may be missing
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(work)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the end of a short block that must not stop halfway."""
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
    """Write warnings to standard error, one line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        because = "" if error is None else f": {_reason(error)}"
        return printable(f"eventstore: {record.levelname.lower()}: {record.getMessage()}{because}")


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _in_one_line(error: BaseException) -> str | None:
    """Return the one line that describes an error; None if the error is a bug in this program."""
    error = _first(error)
    if isinstance(error, _UsageError):
        message = error.format_message().replace("Value error, ", "")  # type: ignore[attr-defined]
        context = getattr(error, "ctx", None)
        path = "eventstore" if context is None else context.command_path
        return f"{' '.join(message.split())} (see {path} --help)"
    return _message(error) if isinstance(error, EventStoreError) else None


def _reason(error: BaseException) -> str:
    """Return an error as one line: the library's errors by their message, others with the name of their class."""
    return _message(error) if isinstance(error, EventStoreError) else " ".join(text_of_error(error).split())


def _message(error: BaseException) -> str:
    """Return an error's message as one line; the name of its class if the message is empty or fails."""
    try:
        return " ".join(str(error).split()) or type(error).__name__
    except Exception:  # noqa: BLE001 - errors of users' projections may fail in any way
        return text_of_error(error)
