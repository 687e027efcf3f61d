"""The equity of a portfolio over time, from its events and those of its positions."""

from __future__ import annotations

from bisect import bisect_right, insort_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Generic, Literal, NamedTuple, TypeVar, overload
from uuid import UUID

from eventstore.core.context import bound_in_utc
from eventstore.core.entity import Entity
from eventstore.core.event import RecordedEvent
from eventstore.domain.money import CurrencyAmount, checked_rates
from eventstore.domain.portfolio import Portfolio, PortfolioCreated
from eventstore.domain.portfolio_snapshot import equity_of
from eventstore.domain.position import Position, PositionAmended, PositionOpened
from eventstore.errors import ConfigurationError, PortfolioNotFoundError
from eventstore.log.event_log import EventLog
from eventstore.notebook import ROWS_MAX, table
from eventstore.replay.bounds import Bound, bound
from eventstore.replay.past_fold import begin_before, creates, try_to_evolve
from eventstore.replay.replay import Replay

E = TypeVar("E", bound=Entity)

Clock = Literal["occurred_at", "recorded_at"]
"""The time that a curve uses: when events happened, or when they became known."""

_ZERO = Decimal(0)
_DIGITS_128 = 38
_DIGITS_256 = 76


class EquityPoint(NamedTuple):
    """The equity from a point in time on.

    Attributes:
        at: The point in time, in UTC.
        equity: In the portfolio's currency.
    """

    at: datetime
    equity: Decimal


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
    points: tuple[EquityPoint, ...]

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
            ends = f", {first.equity} at {_time(first.at)} to {last.equity} at {_time(last.at)}"
        return f"<EquityCurve {self.portfolio_id} by {self.clock}: {len(self)} points{ends}>"

    def _repr_html_(self) -> str:
        # The ends of a long curve: its middle is for a plot.
        half = ROWS_MAX // 2
        left_out = max(0, len(self) - 2 * half)
        points = [*self.points[:half], *self.points[half + left_out :]]
        rows = ((_time(point.at), point.equity) for point in points)
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
        pyarrow = _imported("pyarrow", "to_arrow")
        amounts = [point.equity for point in self.points]
        scale = max((-int(amount.as_tuple().exponent) for amount in amounts), default=0)
        digits = scale + max((amount.adjusted() + 1 for amount in amounts if amount), default=1)
        if max(digits, scale, 1) > _DIGITS_256:
            raise ConfigurationError(
                f"an equity of {digits} digits does not fit the widest decimal of Arrow, {_DIGITS_256} digits"
            )
        wide = pyarrow.decimal128 if max(digits, scale) <= _DIGITS_128 else pyarrow.decimal256
        precision = _DIGITS_128 if max(digits, scale) <= _DIGITS_128 else _DIGITS_256
        schema = pyarrow.schema(
            [
                pyarrow.field("at", pyarrow.timestamp("us", tz="UTC"), nullable=False),
                pyarrow.field("equity", wide(precision, scale), nullable=False),
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
        pandas = _imported("pandas", "to_pandas")
        index = pandas.DatetimeIndex([point.at for point in self.points], tz="UTC", name="at")
        values = [float(point.equity) if floats else point.equity for point in self.points]
        return pandas.Series(values, index=index, name="equity", dtype="float64" if floats else object)

    def to_polars(self) -> Any:
        """Return a `polars.DataFrame` of `at` and `equity`.

        Raises:
            ConfigurationError: polars or pyarrow is not installed, or the values do not fit.
        """
        polars = _imported("polars", "to_polars")
        return polars.from_arrow(self.to_arrow())


async def equity_curve(
    log: EventLog,
    portfolio_id: UUID,
    *,
    clock: Clock = "occurred_at",
    after: datetime | None = None,
    through: Bound | None = None,
    rates: Mapping[str, Decimal] | None = None,
) -> EquityCurve:
    """Return the equity of a portfolio over time. See `EventStore.equity_curve`."""
    if clock not in ("occurred_at", "recorded_at"):
        raise ConfigurationError(f"clock must be 'occurred_at' or 'recorded_at', not {clock!r}")
    known_rates = checked_rates(rates)
    with log.server.steady():
        return await _equity_curve(
            log, portfolio_id, clock=clock, after=after, through=through, rates=known_rates
        )


async def _equity_curve(
    log: EventLog,
    portfolio_id: UUID,
    *,
    clock: Clock,
    after: datetime | None,
    through: Bound | None,
    rates: Mapping[str, Decimal],
) -> EquityCurve:
    through = await log.head() if through is None else bound("through", through)
    opened = Replay(log, categories=["position"], types=[PositionOpened, PositionAmended], through=through)
    positions = {
        part.stream_id
        async for recorded in opened
        for part in recorded.upcast_events
        if getattr(part.event, "portfolio_id", None) == portfolio_id
    }
    recorded = [one async for one in Replay(log, streams=[portfolio_id, *positions], through=through)]
    if not any(isinstance(part.event, PortfolioCreated) for one in recorded for part in one.upcast_events):
        raise PortfolioNotFoundError(portfolio_id, category="portfolio")
    points = _points(portfolio_id, _in_order(recorded, clock), rates)
    since = None if after is None else bound_in_utc(after)
    return EquityCurve(
        portfolio_id, clock, tuple(point for point in points if since is None or point.at > since)
    )


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


class _Selection(Generic[E]):
    """The state of one stream after those of its events that have come so far, in the order of versions."""

    def __init__(self, kind: type[E], created: RecordedEvent) -> None:
        self._kind = kind
        self._created = created
        self._events: list[RecordedEvent] = []
        self.entity: E | None = None

    def add(self, event: RecordedEvent) -> None:
        """Take an event in; one that is reported late goes before those that followed it."""
        insort_right(self._events, event, key=lambda one: one.version)
        if self.entity is not None and self._events[-1] is event:
            self.entity, _ = try_to_evolve(self._kind, self.entity, event)
            return
        is_early = self._events[0] is not self._created
        self.entity = begin_before(self._kind, self._created, self._events) if is_early else None
        for one in self._events:
            if self.entity is not None or creates(self._kind, one):
                self.entity, _ = try_to_evolve(self._kind, self.entity, one)


def _points(
    portfolio_id: UUID,
    timed: Sequence[tuple[datetime, RecordedEvent]],
    rates: Mapping[str, Decimal] = MappingProxyType({}),
) -> Iterator[EquityPoint]:
    created: dict[UUID, RecordedEvent] = {}
    for _, part in sorted(timed, key=lambda one: one[1].version):
        created.setdefault(part.stream_id, part)
    portfolio = _Selection(Portfolio, created[portfolio_id])
    positions: dict[UUID, _Selection[Position]] = {}
    unrealized: dict[UUID, CurrencyAmount | Decimal] = {}
    last: EquityPoint | None = None
    for point, part in timed:
        if part.stream_id == portfolio_id:
            portfolio.add(part)
        else:
            selection = positions.get(part.stream_id)
            if selection is None:
                selection = _Selection(Position, created[part.stream_id])
                positions[part.stream_id] = selection
            selection.add(part)
            unrealized.pop(part.stream_id, None)
            position = selection.entity
            if position is not None and position.portfolio_id == portfolio_id and position.is_open:
                unrealized[part.stream_id] = _unrealized(position)
        if last is not None and point != last.at:
            yield last
        last = (
            None
            if portfolio.entity is None
            else EquityPoint(point, equity_of(portfolio.entity, unrealized.values(), rates))
        )
    if last is not None:
        yield last


def _unrealized(position: Position) -> CurrencyAmount | Decimal:
    amount, currency = position.unrealized_pnl or _ZERO, position.currency
    return amount if currency is None else CurrencyAmount(currency=currency, amount=amount)


def _time(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="milliseconds")


def _imported(name: str, what: str) -> Any:
    from importlib import import_module  # noqa: PLC0415 - the extra may be missing

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{what} needs {name}: pip install {name}") from error
