"""Periods of time: hours, and days, weeks and months of a time zone that end with the session of a market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from eventstore.errors import ConfigurationError
from eventstore.time_zones import zone_named

Unit = Literal["hour", "day", "week", "month"]
"""The length of a period."""

By = Literal["hour", "day", "week", "month", "symbol", "strategy", "portfolio", "currency"]
"""What the rows of a report are grouped by."""

UNITS: tuple[str, ...] = get_args(Unit)
"""The units, the shortest first."""

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_DECEMBER = 12


class Period(NamedTuple):
    """A period of time.

    Attributes:
        start: Its start, inclusive, in UTC.
        end: Its end, exclusive, in UTC.
        label: Its name: 2026-03-09T14:00-04:00, 2026-03-09, 2026-W11 or 2026-03.
    """

    start: datetime
    end: datetime
    label: str


@dataclass(frozen=True)
class Periods:
    """Periods of one unit.

    Attributes:
        unit: The unit; None for one period of all times.
        zone: The time zone.
        session_end: The wall-clock time at which a trading day ends; what follows belongs to the next day. Midnight is
            the end of the calendar's day.
    """

    unit: Unit | None
    zone: tzinfo = UTC
    session_end: time = time(0)
    # Most times lie in the period of the one before.
    _last: list[Period] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def of(cls, unit: str | None, timezone: str | tzinfo, session_end: time | str | None) -> Periods:
        """Return the periods of a unit, validated.

        Raises:
            ConfigurationError: The unit or the time zone is unknown, or the end of the session is no time of day.
        """
        if unit is not None and unit not in UNITS:
            raise ConfigurationError(f"a unit is one of {', '.join(UNITS)}, not {unit!r}")
        zone = timezone if isinstance(timezone, tzinfo) else zone_named(timezone)
        return cls(unit, zone, _time_of_day(session_end))  # type: ignore[arg-type]  # it is a unit

    def of_time(self, when: datetime) -> Period | None:
        """Return the period that a time lies in; None without a unit."""
        if self.unit is None:
            return None
        if self.unit == "hour":
            return self._hour(when)
        if self._last and self._last[0].start <= when < self._last[0].end:
            return self._last[0]
        self._last[:] = [self._of_its_day(when)]
        return self._last[0]

    def _of_its_day(self, when: datetime) -> Period:
        day = self._day(when)
        if self.unit == "week":
            day -= timedelta(days=day.weekday())
        elif self.unit == "month":
            day = day.replace(day=1)
        return self._of_day(day)

    def _hour(self, when: datetime) -> Period:
        local = when.astimezone(self.zone)
        start = when - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return Period(start, start + _HOUR, start.astimezone(self.zone).isoformat(timespec="minutes"))

    def _day(self, when: datetime) -> date:
        """Return the trading day of a time."""
        day = when.astimezone(self.zone).date()
        if when < self._start(day):
            return day - _DAY
        return day + _DAY if when >= self._start(day + _DAY) else day

    @lru_cache(maxsize=4096)  # noqa: B019 - a report has one of these, and it ends with the report
    def _start(self, day: date) -> datetime:
        """Return when a trading day begins, in UTC: when the session of the day before ends."""
        if self.session_end == time(0):
            return datetime.combine(day, self.session_end, self.zone).astimezone(UTC)
        return datetime.combine(day - _DAY, self.session_end, self.zone).astimezone(UTC)

    def _of_day(self, day: date) -> Period:
        if self.unit == "week":
            year, week, _ = day.isocalendar()
            return Period(self._start(day), self._start(day + 7 * _DAY), f"{year}-W{week:02}")
        if self.unit == "month":
            later = date(day.year + 1, 1, 1) if day.month == _DECEMBER else day.replace(month=day.month + 1)
            return Period(self._start(day), self._start(later), f"{day:%Y-%m}")
        return Period(self._start(day), self._start(day + _DAY), day.isoformat())


def _time_of_day(given: time | str | None) -> time:
    if given is None:
        return time(0)
    try:
        found = time.fromisoformat(given) if isinstance(given, str) else given
        if found.tzinfo is None:
            return time(found.hour, found.minute, found.second, found.microsecond)
    except (AttributeError, ValueError):
        pass
    raise ConfigurationError(
        f"session_end must be a time of day without a zone, such as 17:00, not {given!r}"
    )


def checked_by(by: Sequence[str] | str, allowed: Sequence[str] = get_args(By)) -> tuple[str, ...]:
    """Return what rows are grouped by, in the order of `By`.

    Raises:
        ConfigurationError: A name is unknown or is there twice, or there are two units of time.
    """
    names = (by,) if isinstance(by, str) else tuple(by)
    for name in names:
        if name not in allowed:
            raise ConfigurationError(f"by takes {', '.join(allowed)}, not {name!r}")
    if len(set(names)) < len(names):
        raise ConfigurationError("by has a name twice")
    if sum(name in UNITS for name in names) > 1:
        raise ConfigurationError(f"by takes one of {', '.join(UNITS)}")
    return tuple(sorted(names, key=allowed.index))


def unit_in(by: Sequence[str]) -> str | None:
    """Return the unit of time that rows are grouped by."""
    return next((name for name in by if name in UNITS), None)
