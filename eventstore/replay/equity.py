"""The equity of a portfolio over time, from its events and those of its positions."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypeVar, overload
from uuid import UUID

from eventstore.arrow_decimals import DIGITS_256, decimal_type, digits_of
from eventstore.core.context import bound_in_utc
from eventstore.core.entity import Entity
from eventstore.core.event import RecordedEvent
from eventstore.domain.money import CurrencyAmount, RateTable
from eventstore.domain.portfolio import Portfolio, PortfolioCreated
from eventstore.domain.portfolio_snapshot import equity_of
from eventstore.domain.position import Position, PositionAmended, PositionOpened
from eventstore.errors import ConfigurationError, PortfolioNotFoundError
from eventstore.extras import imported
from eventstore.log.event_log import EventLog
from eventstore.notebook import ROWS_MAX, table
from eventstore.replay.bounds import Bound, bound
from eventstore.replay.equity_fold import NotInColumns
from eventstore.replay.equity_streams import ColumnCurve, StreamFold, unrealized as unrealized_of
from eventstore.replay.replay import Replay

E = TypeVar("E", bound=Entity)

Clock = Literal["occurred_at", "recorded_at"]
"""The time that a curve uses: when events happened, or when they became known."""

_ZERO = Decimal(0)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_FOLDED_AT_A_TIME = 100


class EquityPoint(NamedTuple):
    """The equity from a point in time on.

    Attributes:
        at: The point in time, in UTC.
        equity: In the portfolio's currency, or in the base that was asked for.
    """

    at: datetime
    equity: Decimal


class _PointsOfColumns(Sequence[EquityPoint]):
    """Points that are kept as columns, and made when they are asked for."""

    __slots__ = ("_amounts", "_times")

    def __init__(self, times: Sequence[int], amounts: Sequence[Decimal]) -> None:
        self._times = times
        self._amounts = amounts

    @overload
    def __getitem__(self, index: int) -> EquityPoint: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[EquityPoint]: ...
    def __getitem__(self, index: int | slice) -> EquityPoint | Sequence[EquityPoint]:
        if isinstance(index, slice):
            return _PointsOfColumns(self._times[index], self._amounts[index])
        return EquityPoint(_time(self._times[index]), self._amounts[index])

    def __len__(self) -> int:
        return len(self._times)

    def __iter__(self) -> Iterator[EquityPoint]:
        return map(EquityPoint, map(_time, self._times), self._amounts)

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


@dataclass(frozen=True, slots=True)
class EquityCurve(Sequence[EquityPoint]):
    """A portfolio's equity over time: one step for each point in time at which it changed, in order.

    Attributes:
        portfolio_id: The portfolio.
        clock: The time that the curve uses.
        points: The points; each holds until the next one.
    """

    portfolio_id: UUID
    clock: Clock
    points: Sequence[EquityPoint]

    @overload
    def __getitem__(self, index: int) -> EquityPoint: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[EquityPoint]: ...
    def __getitem__(self, index: int | slice) -> EquityPoint | Sequence[EquityPoint]:
        return self.points[index]

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[EquityPoint]:
        return iter(self.points)

    def __repr__(self) -> str:
        ends = ""
        if self.points:
            first, last = self.points[0], self.points[-1]
            ends = f", {first.equity} at {_shown(first.at)} to {last.equity} at {_shown(last.at)}"
        return f"<EquityCurve {self.portfolio_id} by {self.clock}: {len(self)} points{ends}>"

    def _repr_html_(self) -> str:
        # The ends of a long curve: its middle is for a plot.
        half = ROWS_MAX // 2
        left_out = max(0, len(self) - 2 * half)
        points = [*self.points[:half], *self.points[half + left_out :]]
        rows = ((_shown(point.at), point.equity) for point in points)
        return table(
            f"Equity of {self.portfolio_id} by {self.clock}", ("at", "equity"), rows, left_out=left_out
        )

    def at(self, point: datetime) -> Decimal | None:
        """Return the equity at a point in time; None before the portfolio was created. Naive: local time."""
        index = bisect_right(self.points, bound_in_utc(point), key=lambda point: point.at)
        return self.points[index - 1].equity if index else None

    def sample(self, points: Iterable[datetime]) -> list[EquityPoint]:
        """Return the equity at each given point in time, without those before the portfolio was created."""
        found = ((bound_in_utc(point), self.at(point)) for point in points)
        return [EquityPoint(point, equity) for point, equity in found if equity is not None]

    def to_arrow(self) -> Any:
        """Return a `pyarrow.Table` of `at` (timestamp, UTC) and `equity` (decimal, all digits kept).

        Raises:
            ConfigurationError: pyarrow is not installed, or the values do not fit its widest decimal.
        """
        pyarrow = imported("pyarrow", "frames")
        amounts = [point.equity for point in self.points]
        before, _ = digits_of(amounts)
        after = max(
            (-int(amount.as_tuple().exponent) for amount in amounts), default=0
        )  # zeros at the end too
        if before + after > DIGITS_256:
            raise ConfigurationError(
                f"an equity of {before + after} digits does not fit the widest decimal of Arrow, {DIGITS_256} digits"
            )
        schema = pyarrow.schema(
            [
                pyarrow.field("at", pyarrow.timestamp("us", tz="UTC"), nullable=False),
                pyarrow.field("equity", decimal_type(pyarrow, before, after), nullable=False),
            ]
        )
        return pyarrow.table({"at": [point.at for point in self.points], "equity": amounts}, schema=schema)

    def to_pandas(self, *, floats: bool = False) -> Any:
        """Return a `pandas.Series` by time.

        Args:
            floats: Whether the values are float64, which pandas can plot and compute with, instead of Decimals.

        Raises:
            ConfigurationError: pandas is not installed.
        """
        pandas = imported("pandas", "pandas")
        index = pandas.DatetimeIndex([point.at for point in self.points], tz="UTC", name="at")
        values = [float(point.equity) if floats else point.equity for point in self.points]
        return pandas.Series(values, index=index, name="equity", dtype="float64" if floats else object)

    def to_polars(self) -> Any:
        """Return a `polars.DataFrame` of `at` and `equity`.

        Raises:
            ConfigurationError: polars or pyarrow is not installed, or the values do not fit.
        """
        polars = imported("polars", "polars")
        return polars.from_arrow(self.to_arrow())


@dataclass(frozen=True, slots=True)
class Openings:
    """What opened the positions of a log, and the portfolios that they belong or belonged to.

    Attributes:
        told: The first event of each position that opens or amends it.
        positions: The positions that each portfolio has or had.
    """

    told: dict[UUID, RecordedEvent]
    positions: dict[UUID, set[UUID]]

    @classmethod
    async def read(cls, log: EventLog, through: Bound) -> Openings:
        """Read them through a position of the log, or a point in time.

        Raises:
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
            ConnectionError, TimeoutError: Safe to retry.
        """
        found = cls({}, {})
        opened = Replay(
            log, categories=["position"], types=[PositionOpened, PositionAmended], through=through
        )
        async for page in opened.pages():
            for recorded in page:
                found.told.setdefault(recorded.stream_id, recorded)
                for part in recorded.upcast_events:
                    portfolio_id = part.event.__dict__.get("portfolio_id")
                    if portfolio_id is not None:
                        found.positions.setdefault(portfolio_id, set()).add(recorded.stream_id)
        return found


async def equity_curve(
    log: EventLog,
    portfolio_id: UUID,
    *,
    clock: Clock = "occurred_at",
    after: datetime | None = None,
    through: Bound | None = None,
    rates: RateTable | Mapping[str, Decimal] | None = None,
    base: str | None = None,
    openings: Openings | None = None,
) -> EquityCurve:
    """Return the equity of a portfolio over time. See `EventStore.equity_curve`.

    `openings` are those of the log through the same end, for the caller who needs the curves of many portfolios.
    """
    if clock not in ("occurred_at", "recorded_at"):
        raise ConfigurationError(f"clock must be 'occurred_at' or 'recorded_at', not {clock!r}")
    table = RateTable.of(rates, base=base)
    with log.server.steady():
        return await _equity_curve(
            log,
            portfolio_id,
            clock=clock,
            after=after,
            through=through,
            rates=table,
            base=base,
            openings=openings,
        )


async def _equity_curve(
    log: EventLog,
    portfolio_id: UUID,
    *,
    clock: Clock,
    after: datetime | None,
    through: Bound | None,
    rates: RateTable,
    base: str | None,
    openings: Openings | None,
) -> EquityCurve:
    through = await log.head() if through is None else bound("through", through)
    since = None if after is None else bound_in_utc(after)
    if openings is None:
        openings = await Openings.read(log, through)
    told, positions = openings.told, openings.positions.get(portfolio_id, set())
    if isinstance(through, int):
        with suppress(NotInColumns):
            curve = ColumnCurve(
                log, portfolio_id, positions, told, by_recorded=clock == "recorded_at", rates=rates, base=base
            )
            points = await curve.points(through)
            first = (
                0
                if since is None
                else bisect_right(points.times, (since - _EPOCH) // timedelta(microseconds=1))
            )
            return EquityCurve(
                portfolio_id, clock, _PointsOfColumns(points.times[first:], points.amounts[first:])
            )
    everything = Replay(log, streams=[portfolio_id, *positions], through=through)
    events = [one async for one in everything]
    if not any(isinstance(part.event, PortfolioCreated) for one in events for part in one.upcast_events):
        raise PortfolioNotFoundError(portfolio_id, category="portfolio")
    found: list[EquityPoint] = []
    for number, point in enumerate(_points(portfolio_id, _in_order(events, clock), rates, base)):
        if since is None or point.at > since:
            found.append(point)
        if not number % _FOLDED_AT_A_TIME:
            await asyncio.sleep(0)
    return EquityCurve(portfolio_id, clock, tuple(found))


def _in_order(recorded: Sequence[RecordedEvent], clock: Clock) -> list[tuple[datetime, RecordedEvent]]:
    """Return each event with the time at which it counts, in order.

    By `recorded_at`, no event counts before an event that precedes it in the log, so time does not advance while the
    clock is behind.
    """
    parts = [part for one in recorded for part in one.upcast_events]
    if clock == "recorded_at":
        timed, latest = [], datetime.min.replace(tzinfo=UTC)
        for part in parts:
            latest = max(latest, part.recorded_at)
            timed.append((latest, part))
        return timed
    timed = [(part.occurred_at, part) for part in parts]
    return sorted(timed, key=lambda one: (one[0], one[1].position))


def _points(
    portfolio_id: UUID,
    timed: Sequence[tuple[datetime, RecordedEvent]],
    rates: RateTable | None = None,
    base: str | None = None,
) -> Iterator[EquityPoint]:
    rates = RateTable() if rates is None else rates
    created: dict[UUID, RecordedEvent] = {}
    for _, part in sorted(timed, key=lambda one: one[1].version):
        created.setdefault(part.stream_id, part)
    portfolio = StreamFold(Portfolio, created[portfolio_id])
    positions: dict[UUID, StreamFold[Position]] = {}
    unrealized: dict[UUID, CurrencyAmount | Decimal] = {}
    last: EquityPoint | None = None
    for point, part in timed:
        if part.stream_id == portfolio_id:
            portfolio.add(part)
        else:
            selection = positions.get(part.stream_id)
            if selection is None:
                selection = StreamFold(Position, created[part.stream_id])
                positions[part.stream_id] = selection
            selection.add(part)
            unrealized.pop(part.stream_id, None)
            position = selection.entity
            if position is not None and position.portfolio_id == portfolio_id and position.is_open:
                unrealized[part.stream_id] = unrealized_of(position)
        if last is not None and point != last.at:
            yield last
        last = (
            None
            if portfolio.entity is None
            else EquityPoint(point, equity_of(portfolio.entity, unrealized.values(), rates, base=base))
        )
    if last is not None:
        yield last


def _shown(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="milliseconds")
