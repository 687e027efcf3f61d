"""The context of a domain method: the clock, the source of new ids, and the decimal context.

Each is set for a block. It holds in the task that enters the block and in tasks that are started
inside it.
"""

from __future__ import annotations

import decimal
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from uuid_utils.compat import uuid7

from eventstore.core.codec import comes_back, keeps_type
from eventstore.core.scoped import Scoped
from eventstore.errors import ConfigurationError

P = ParamSpec("P")
R = TypeVar("R")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

CONTEXT = decimal.Context(prec=34, rounding=decimal.ROUND_HALF_EVEN, Emin=-6143, Emax=6144)
"""The arithmetic of IEEE 754 decimal128, independent of the user's decimal context."""

_DIGITS = CONTEXT.prec

# `str` would write an exponent as the user's decimal context says.
_text = CONTEXT.to_sci_string


# By place, and with no flags: keywords, or no list of flags, would take the constructor four times as long.
_SETTINGS: tuple[Any, ...] = (
    CONTEXT.prec,
    CONTEXT.rounding,
    CONTEXT.Emin,
    CONTEXT.Emax,
    CONTEXT.capitals,
    CONTEXT.clamp,
    [],
    [signal for signal, is_trapped in CONTEXT.traps.items() if is_trapped],
)


class _ArithmeticContext(decimal.Context):
    """A copy of CONTEXT that is recognised by its class.

    Attributes:
        is_left: Whether a task other than the one that entered the block has left it.
    """

    is_left = False

    def leave_elsewhere(self, before: decimal.Context) -> None:
        """Take the settings of the context before the block.

        Only the task that entered the block could reset the decimal context there.
        """
        self.is_left = True
        self.prec, self.rounding, self.Emin, self.Emax = (
            before.prec,
            before.rounding,
            before.Emin,
            before.Emax,
        )
        self.capitals, self.clamp = before.capitals, before.clamp
        self.flags, self.traps = before.flags, before.traps


_arithmetic: ContextVar[_ArithmeticContext | None] = ContextVar("eventstore_arithmetic", default=None)


@contextmanager
def decimal_arithmetic() -> Iterator[None]:
    """Stay in the library's decimal context for many events.

    Entering the context costs as much as a small fold. The block must not await anything.
    """
    before = decimal.getcontext()
    inside = _ArithmeticContext(*_SETTINGS)
    entered = _arithmetic.set(inside)
    decimal.setcontext(inside)
    try:
        yield
    finally:
        try:
            _arithmetic.reset(entered)
        except ValueError:  # not the context that entered the block
            inside.leave_elsewhere(before)
        else:
            decimal.setcontext(before)


def in_decimal_arithmetic() -> bool:
    """Whether the caller is in the library's decimal context: in a block of `decimal_arithmetic`, or called by `exactly`."""
    context = decimal.getcontext()
    return type(context) is _ArithmeticContext and not context.is_left


def _wall_clock() -> datetime:
    return datetime.now(UTC)


_clock: Scoped[Callable[[], datetime]] = Scoped("eventstore_clock", _wall_clock)
_ids: Scoped[Callable[[], UUID]] = Scoped("eventstore_ids", uuid7)


@comes_back
def now() -> datetime:
    """Return the time of the context's clock as an aware datetime in UTC."""
    return in_utc(_clock.get()())


def in_utc(when: datetime) -> datetime:
    """Return a time as a plain `datetime` in UTC; a naive datetime means local time.

    A subclass, such as pandas' Timestamp, first becomes a plain `datetime` of the same microsecond.
    It could not be read back from the log as a subclass, and its conversions differ.

    Raises:
        AttributeError, TypeError: The value is not a time, such as pandas' NaT.
        OverflowError, ValueError: The time in UTC is not between the years 1 and 9999.
    """
    exact = type(_EPOCH)  # a library that freezes time may have replaced `datetime` here
    if type(when) is not exact:
        if type(when.year) is not int:
            raise TypeError(f"{when!r} is not a time")  # pandas' NaT is a datetime whose year is NaN
        when = exact(
            when.year,
            when.month,
            when.day,
            when.hour,
            when.minute,
            when.second,
            when.microsecond,
            tzinfo=when.tzinfo,
            fold=when.fold,
        )
    if when.tzinfo is not UTC:
        when = when.astimezone(UTC)
    return when.replace(fold=0) if when.fold else when


def bound_in_utc(when: datetime) -> datetime:
    """Return a time that bounds a query in UTC, like `in_utc`.

    A bound that has no time in UTC, such as `datetime.min` or `datetime.max`, is kept and labelled
    as UTC.

    Raises:
        ConfigurationError: The value is not a time.
    """
    if not isinstance(when, datetime):
        why = ": a date has no time of day" if isinstance(when, date) else ""
        raise ConfigurationError(f"a time must be a datetime, not {when!r}{why}")
    try:
        return in_utc(when)
    except (AttributeError, TypeError) as error:
        raise ConfigurationError(f"a time must be a datetime, not {when!r}") from error
    except (OverflowError, ValueError):
        return when.replace(tzinfo=UTC)


def at(occurred_at: datetime | None, transact_time_ns: int | None = None) -> datetime:
    """Return when something happened, as an aware datetime in UTC.

    Args:
        occurred_at: When it happened; a naive datetime means local time. It takes precedence.
        transact_time_ns: The venue's time in nanoseconds since the epoch (FIX TransactTime, 60). It
            is used if `occurred_at` is None, truncated to the microsecond. If both are None, the
            time of the context's clock is returned.
    """
    if occurred_at is not None:
        try:
            return in_utc(occurred_at)
        except (AttributeError, OverflowError, TypeError, ValueError):
            return occurred_at  # no time in UTC: the event's validation refuses it and names the field
    if transact_time_ns is None:
        return now()
    try:
        return _EPOCH + timedelta(microseconds=operator.index(transact_time_ns) // 1000)
    except (TypeError, OverflowError):
        return now()  # not a time: the event's validation refuses it and names the field


def new_id() -> UUID:
    """Return a new id from the context's source; by default a UUIDv7, which ascends with time."""
    return _ids.get()()


@contextmanager
def use_clock(clock: Callable[[], datetime]) -> Iterator[None]:
    """Take the time from `clock` inside the block, such as the fixed time of a test or a replay.

    The block may be entered in one task and left in another.

    Args:
        clock: Returns an aware datetime; a naive one means local time.
    """
    with _clock.set(clock):
        yield


@contextmanager
def use_ids(source: Callable[[], UUID]) -> Iterator[None]:
    """Take new ids from `source` inside the block, so that two runs make equal ids.

    The block may be entered in one task and left in another.

    Args:
        source: Returns a new UUID at each call.
    """
    with _ids.set(source):
        yield


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` in the library's decimal context: 34 digits, rounding half even."""

    @wraps(function)
    def in_context(*args: P.args, **kwargs: P.kwargs) -> R:
        if in_decimal_arithmetic():
            return function(*args, **kwargs)
        return exactly(function, *args, **kwargs)

    return in_context


def exactly(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function`, which awaits nothing, in the library's decimal context, for a caller that is not in it."""
    before = decimal.getcontext()
    decimal.setcontext(_ArithmeticContext(*_SETTINGS))
    try:
        return function(*args, **kwargs)
    finally:
        decimal.setcontext(before)


@keeps_type
def plain(value: decimal.Decimal) -> decimal.Decimal:
    """Return `value` without a positive exponent or a negative zero, as `numeric` would return it.

    PostgreSQL's numeric has neither, so state in a table must not have them: `1E+3` becomes `1000`.
    """
    text = _text(value)
    if "E" not in text and (text[0] != "-" or value):
        return value  # the usual case; `_text` takes half the time of `as_tuple`
    sign, figures, exponent = value.as_tuple()
    if not value:
        return value.copy_abs() if not isinstance(exponent, int) or exponent <= 0 else decimal.Decimal(0)
    if isinstance(exponent, int) and exponent > 0:
        return decimal.Decimal((sign, figures + (0,) * exponent, 0))
    return value


def total(amount: decimal.Decimal, change: decimal.Decimal) -> decimal.Decimal:
    """Return `plain(amount + change)` for a plain `amount`, in a third of the time.

    It uses the current decimal context. The exponent of a sum is the lower of the two exponents, so
    it is above 0 only if the sum has more digits than the context.
    """
    value = amount + change
    return value if value.adjusted() < _DIGITS else plain(value)


def product(amount: decimal.Decimal, factor: decimal.Decimal) -> decimal.Decimal:
    """Return `plain(amount * factor)` for two plain values, in half of the time.

    It uses the current decimal context. The exponent of a product is the sum of the two exponents, so it is above 0 only if
    the product has more digits than the context.
    """
    value = amount * factor
    return value if value and value.adjusted() < _DIGITS else plain(value)
