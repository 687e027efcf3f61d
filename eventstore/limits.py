"""Limits that users give: how many, and for how long. Each is refused in the same words where it is no limit."""

from __future__ import annotations

import math
from numbers import Real
from operator import index
from typing import Any, SupportsIndex

from eventstore.errors import LimitError

COUNT_MAX = 2**31 - 1
"""The highest count: more than any memory holds, and well within what PostgreSQL takes."""

_NEAR = 1_000_000  # a highest number that somebody may have meant to pass

POSITION_MAX = 2**63 - 1
"""The highest position of a log: a bigint of PostgreSQL."""


EVENT_BYTES_MAX = 32 * 2**20
"""The most bytes of JSON of one event, data and metadata together. PostgreSQL can keep it, whatever it holds."""

APPEND_BYTES_MAX = 256 * 2**20
"""The most bytes of an append: JSON, and 512 bytes for the envelope of each event. PostgreSQL takes it as one document."""


def check_count(name: str, value: Any, *, least: int = 1, most: int = COUNT_MAX) -> int:
    """Return a whole number within its range.

    Args:
        name: The name of the argument, for the error.
        value: What was given.
        least: The lowest number that is allowed.
        most: The highest.

    Raises:
        LimitError: It is no whole number, or out of its range.
    """
    allowed = f"{least} to {most}" if most < _NEAR else f"{least} or more"
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise LimitError.of(f"{name} is a whole number, {allowed}, not {value!r}", name=name)
    number = index(value)
    if number < least:
        raise LimitError.of(f"{name} is {allowed}, not {number}", name=name)
    if number > most:
        raise LimitError.of(f"{name} is {least} to {most}, not {number}", name=name)
    return number


def check_position(name: str, value: Any) -> int:
    """Return a position of the log, or a version of a stream: a whole number, 0 or more.

    Raises:
        LimitError: It is none.
    """
    return check_count(name, value, least=0, most=POSITION_MAX)


def check_seconds(name: str, value: Any, *, is_finite: bool = False) -> float:
    """Return a time in seconds, above 0; infinity is for ever.

    Args:
        name: The name of the argument, for the error.
        value: What was given.
        is_finite: Whether it must end, since a server is told it.

    Raises:
        LimitError: It is no number, NaN, not above 0, or infinite where it must end.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value):
        raise LimitError.of(f"{name} is a number of seconds, not {value!r}", name=name)
    if value <= 0:
        raise LimitError.of(f"{name} is above 0 seconds, not {value}", name=name)
    if is_finite and math.isinf(value):
        raise LimitError.of(f"{name} is a finite number of seconds, not {value}", name=name)
    return float(value)
