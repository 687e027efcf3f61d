"""The checks of limits that users give, such as counts and seconds; all use the same words in their errors."""

from __future__ import annotations

import math
from numbers import Real
from operator import index
from typing import Any, SupportsIndex

from eventstore.errors import LimitError

COUNT_MAX = 2**31 - 1
"""The highest count: more than fits into memory, and well within the range of PostgreSQL."""

_NEAR = 1_000_000  # an upper limit below this one is part of the message

POSITION_MAX = 2**63 - 1
"""The highest position of a log: a bigint of PostgreSQL."""


EVENT_BYTES_MAX = 32 * 2**20
"""The most bytes of JSON of one event, data and metadata together. PostgreSQL can store any JSON of this size."""

APPEND_BYTES_MAX = 256 * 2**20
"""The most bytes of an append: the JSON, and 512 bytes for each event's envelope. PostgreSQL accepts it as one document."""


def check_count(name: str, value: Any, *, least: int = 1, most: int = COUNT_MAX) -> int:
    """Return a whole number within its range.

    Args:
        name: The name of the argument, for the error.
        value: The value.
        least: The lowest allowed number.
        most: The highest allowed number.

    Raises:
        LimitError: The value is not a whole number, or is out of its range.
    """
    if type(value) is int and least <= value <= most:
        return value
    allowed = f"{least} to {most}" if most < _NEAR else f"{least} or more"
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise LimitError.of(f"{name} must be a whole number, {allowed}, not {value!r}", name=name)
    number = index(value)
    if number < least:
        raise LimitError.of(f"{name} must be {allowed}, not {number}", name=name)
    if number > most:
        raise LimitError.of(f"{name} must be {least} to {most}, not {number}", name=name)
    return number


def check_position(name: str, value: Any) -> int:
    """Return a position of the log, or a version of a stream: a whole number, 0 or more.

    Raises:
        LimitError: The value is not a position.
    """
    return check_count(name, value, least=0, most=POSITION_MAX)


def check_seconds(name: str, value: Any, *, is_finite: bool = False) -> float:
    """Return a time in seconds, above 0; infinity means no limit.

    Args:
        name: The name of the argument, for the error.
        value: The value.
        is_finite: Whether infinity is refused, because the value is sent to a server.

    Raises:
        LimitError: The value is not a number, is NaN or not above 0, or is infinite but must be finite.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value):
        raise LimitError.of(f"{name} must be a number of seconds, not {value!r}", name=name)
    if value <= 0:
        raise LimitError.of(f"{name} must be above 0 seconds, not {value}", name=name)
    if is_finite and math.isinf(value):
        raise LimitError.of(f"{name} must be a finite number of seconds, not {value}", name=name)
    return float(value)
