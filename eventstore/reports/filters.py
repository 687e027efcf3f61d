"""What a report is asked for: the filters, and the point in time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from eventstore.core.context import bound_in_utc
from eventstore.domain.portfolio import Portfolio
from eventstore.errors import ConfigurationError
from eventstore.limits import check_count
from eventstore.replay.point_in_time import PointInTime, point_in_time_of
from eventstore.repositories.query import as_id
from eventstore.suggestions import suggestion


class Filters(TypedDict, total=False):
    """What every report takes as keywords. What is left out, or is None, filters nothing.

    Attributes:
        portfolio: The portfolio, or its id.
        strategy: The strategy.
        symbol: The instrument.
        account: The account.
        currency: The currency of the row's amounts.
        from_: Only rows of this time or later; a naive time is local time.
        to: Only rows before this time.
        position: As of this position of the log. At most one of the last three is given; none of them means now.
        recorded_at: As of what was known at this time.
        occurred_at: As of what was true at this time, as it is known now.
    """

    portfolio: Portfolio | UUID | str | None
    strategy: str | None
    symbol: str | None
    account: str | None
    currency: str | None
    from_: datetime | None
    to: datetime | None
    position: int | None
    recorded_at: datetime | None
    occurred_at: datetime | None


_POINTS = ("position", "recorded_at", "occurred_at")
ALL = tuple(Filters.__annotations__)
"""The names of all filters."""

_TEXTS = ("strategy", "symbol", "account", "currency")


@dataclass(frozen=True, slots=True)
class Question:
    """The filters of one report, validated.

    Attributes:
        portfolio: The id of the portfolio.
        strategy: The strategy.
        symbol: The instrument.
        account: The account.
        currency: The currency.
        since: Inclusive, in UTC.
        until: Exclusive, in UTC.
        asked: The point in time; None for now.
    """

    portfolio: UUID | None = None
    strategy: str | None = None
    symbol: str | None = None
    account: str | None = None
    currency: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    asked: PointInTime | None = None

    @classmethod
    def of(cls, report: str, filters: Mapping[str, Any], *, without: Collection[str] = ()) -> Question:
        """Return the filters of a report.

        Args:
            report: Its name, for errors.
            filters: What was given.
            without: The filters that it does not have.

        Raises:
            ConfigurationError: A filter is unknown, or the report does not have it; a value is not of its type; the range
                ends before it begins; or more than one point in time is given.
            RepositoryError: The portfolio is not one, nor an id.
        """
        known = [name for name in ALL if name not in without]
        given = {name: value for name, value in filters.items() if value is not None}
        for name in filters:
            if name not in known and (name not in ALL or name in given):
                raise ConfigurationError(
                    f"the report {report} has no filter {name!r}: {suggestion(name, known)}"
                )
        for name in _TEXTS:
            if not isinstance(given.get(name, ""), str):
                raise ConfigurationError(f"{name} must be a text, not {given[name]!r}")
        since, until = (bound_in_utc(given[name]) if name in given else None for name in ("from_", "to"))
        if since is not None and until is not None and until < since:
            raise ConfigurationError(f"the range ends at {until}, before it begins at {since}")
        points = [given.get(name) for name in _POINTS]
        if sum(one is not None for one in points) > 1:
            raise ConfigurationError(f"give at most one of {', '.join(_POINTS)}")
        asked = None if points == [None] * len(points) else point_in_time_of(*points)
        return cls(
            portfolio=as_id(Portfolio, given.get("portfolio")),
            strategy=given.get("strategy"),
            symbol=given.get("symbol"),
            account=given.get("account"),
            currency=given.get("currency"),
            since=since,
            until=until,
            asked=asked,
        )

    def has(
        self,
        *,
        portfolio: UUID | None = None,
        strategy: str | None = None,
        symbol: str | None = None,
        account: str | None = None,
    ) -> bool:
        """Whether something of these belongs to the answer."""
        return (
            self.portfolio in (None, portfolio)
            and self.strategy in (None, strategy)
            and self.symbol in (None, symbol)
            and self.account in (None, account)
        )

    def has_currency(self, currency: str | None) -> bool:
        """Whether an amount of a currency belongs to the answer."""
        return self.currency in (None, currency)

    def has_time(self, when: datetime) -> bool:
        """Whether a time lies in the range."""
        return (self.since is None or when >= self.since) and (self.until is None or when < self.until)


def last(rows: list[Any], limit: int | None) -> list[Any]:
    """Return the last rows.

    Raises:
        LimitError: `limit` is not a whole number from 1.
    """
    if limit is None:
        return rows
    return rows[-check_count("limit", limit) :]
