"""Every time that a caller gives becomes a plain datetime in UTC: of the standard library, of a subclass, of pandas."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from pydantic import BaseModel

from eventstore.core.context import bound_in_utc, in_utc, use_clock
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import ConfigurationError, DomainError
from eventstore.replay.bounds import bound
from eventstore.replay.equity import EquityCurve, EquityPoint
from eventstore.replay.point_in_time import point_in_time_of
from eventstore.repositories.repository import time_range
from projections.table import Table

NEW_YORK = ZoneInfo("America/New_York")
WANTED = datetime(2026, 11, 1, 6, 30, 0, 123456, tzinfo=UTC)


class Stamp(datetime):
    """A user's own subclass, whose conversions are its own business."""

    def astimezone(self, tz: Any = None) -> Any:
        """Not as in the standard library."""
        raise NotImplementedError


TIMES: dict[str, datetime] = {
    "UTC": WANTED,
    "another zone": datetime(2026, 11, 1, 1, 30, 0, 123456, tzinfo=NEW_YORK, fold=1),
    "naive": datetime(2026, 11, 1, 1, 30, 0, 123456, fold=1),
    "subclass, aware": Stamp(2026, 11, 1, 1, 30, 0, 123456, tzinfo=NEW_YORK, fold=1),
    "subclass, naive": Stamp(2026, 11, 1, 1, 30, 0, 123456, fold=1),
    "pandas, aware": pd.Timestamp("2026-11-01 06:30:00.123456789", tz="UTC"),
    "pandas, another zone": pd.Timestamp("2026-11-01 06:30:00.123456789", tz="UTC").tz_convert(
        "America/New_York"
    ),
    "pandas, naive": pd.Timestamp(
        year=2026, month=11, day=1, hour=1, minute=30, microsecond=123456, nanosecond=789, fold=1
    ),
}


@pytest.fixture(autouse=True)
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The local time is that of New York, in whose night of 1 November half past one comes twice."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Hour(BaseModel):
    """A row whose key is a time."""

    began_at: datetime


def _of_an_order(when: datetime) -> datetime:
    return Order.create_market_order("ES", Decimal(1), OrderSide.BUY, occurred_at=when).created_at


def _assigned(when: datetime) -> datetime:
    order = Order.create_market_order("ES", Decimal(1), OrderSide.BUY)
    order.submitted_at = when
    assert order.submitted_at is not None
    return order.submitted_at


def _of_the_clock(when: datetime) -> datetime:
    with use_clock(lambda: when):
        return Order.create_market_order("ES", Decimal(1), OrderSide.BUY).created_at


def _sampled(when: datetime) -> datetime:
    curve = EquityCurve(
        uuid4(),
        "occurred_at",
        (EquityPoint(WANTED - timedelta(seconds=1), Decimal(1)), EquityPoint(WANTED, Decimal(2))),
    )
    assert curve.at(when) == 2
    return curve.sample([when])[0].at


PLACES: dict[str, Callable[[datetime], Any]] = {
    "in_utc": in_utc,
    "bound_in_utc": bound_in_utc,
    "an event": _of_an_order,
    "a field": _assigned,
    "the clock": _of_the_clock,
    "a point in time, recorded": lambda when: point_in_time_of(None, when, None).recorded_at,
    "a point in time, occurred": lambda when: point_in_time_of(None, None, when).occurred_at,
    "a bound of a replay": lambda when: bound("after", when),
    "a range": lambda when: time_range(when, when)[0],
    "an equity curve": _sampled,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", TIMES)
def test_it_is_the_same_time_everywhere(name: str, place: str):
    """The exact microsecond, the right one of two equal local times, and no trace of the subclass."""
    found = PLACES[place](TIMES[name])
    assert found == WANTED
    assert type(found) is datetime
    assert (found.tzinfo, found.fold) == (UTC, 0)


@pytest.mark.parametrize("name", TIMES)
def test_it_is_one_key(name: str):
    """Equal times by any clock are one key of a projection."""
    (found,) = Table("hours", row=Hour, key=["began_at"]).normal((TIMES[name],))
    assert (found, type(found)) == (WANTED, datetime)


@pytest.mark.parametrize("what", [pd.NaT, "yesterday", date(2026, 3, 2), 5, None])
def test_what_is_no_time_is_refused_by_name(what: Any):
    """One clear line, and never an error of the library that the value is from."""
    with pytest.raises(ConfigurationError, match="must be a datetime"):
        bound_in_utc(what)
    with pytest.raises(ConfigurationError):
        time_range(what, WANTED)
    if what is pd.NaT or what == "yesterday":
        with pytest.raises(DomainError, match="occurred_at"):
            _of_an_order(what)


def test_forever_is_a_bound():
    """`datetime.min` and `datetime.max` bound a range, in whichever zone it is asked."""
    start, end = time_range(datetime.min, datetime.max)
    assert (start.year, end.year) == (1, 9999)
    assert start.tzinfo is end.tzinfo is UTC
