"""Reads what reports are made of: the state as of one point in time, and the events up to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import UUID

from eventstore.core.context import decimal_arithmetic
from eventstore.core.event import Event, RecordedEvent, with_derived
from eventstore.domain.order import Order
from eventstore.domain.portfolio import PortfolioAmended, PortfolioCreated
from eventstore.domain.position import Position, PositionAmended, PositionOpened
from eventstore.errors import ProjectionLagError
from eventstore.garbage_collection import collecting_rarely
from eventstore.opening import Opening
from eventstore.replay.as_of import Past
from eventstore.replay.bounds import Bound
from eventstore.replay.point_in_time import PointInTime
from eventstore.reports.display import Display
from eventstore.reports.filters import Question
from eventstore.reports.money import Converter, Rates
from eventstore.reports.report import Report
from eventstore.repositories.page import Page
from eventstore.time_slices import Slices, listed

if TYPE_CHECKING:
    from eventstore.store import EventStore

T = TypeVar("T", bound=Order | Position)
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
_PAGE_ENTITIES = 500  # decoding them takes some 20 ms
_TAKEN_AT_A_TIME = 50  # events; each is taken by several readers


class Reader(Protocol):
    """What takes events in the order of the log, and does not wait for anything."""

    @property
    def types(self) -> Collection[type[Event]]:
        """The event classes that it takes."""

    @property
    def streams(self) -> Collection[UUID] | None:
        """The streams whose events it takes; None for all."""

    def take(self, part: RecordedEvent, /) -> None:
        """Take the next event in."""


class _Readers:
    """Several readers as one.

    Attributes:
        types: The event classes that any of them takes, those that users derived from them too.
        streams: The streams whose events any of them takes; None for all.
    """

    def __init__(self, readers: Iterable[Reader]) -> None:
        reading = [one for one in readers if one.streams is None or one.streams]
        self.types = with_derived(*{kind for one in reading for kind in one.types})
        some = [one.streams for one in reading if one.streams is not None]
        self.streams = set().union(*some) if len(some) == len(reading) else None
        self._places: dict[tuple[str, str], list[tuple[Reader, frozenset[UUID] | None]]] = {}
        for one in reading:
            its = None if one.streams is None else frozenset(one.streams)
            for kind in with_derived(*one.types):
                self._places.setdefault((kind.category, kind.type), []).append((one, its))
        self._takers: dict[type[Event], list[tuple[Reader, frozenset[UUID] | None]]] = {}

    def take(self, part: RecordedEvent) -> None:
        """Let each reader that asks for it take the next event."""
        kind = type(part.event)
        takers = self._takers.get(kind)
        if takers is None:
            takers = self._takers[kind] = self._places.get((kind.category, kind.type), [])
        for reader, streams in takers:
            if streams is None or part.stream_id in streams:
                reader.take(part)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, and the store as of it.

    Attributes:
        store: The store.
        past: The repositories as of the point in time.
        question: What was asked.
    """

    store: EventStore
    past: Past
    question: Question
    _currencies: dict[UUID, str | None] = field(default_factory=dict)
    _asked: set[UUID] = field(default_factory=set)
    _positions_of: dict[UUID, list[UUID]] = field(default_factory=dict)

    @property
    def point(self) -> PointInTime:
        """The point in time."""
        return self.past.point

    @property
    def through(self) -> int:
        """The last position that the answer may include."""
        return self.point.through

    @property
    def bound(self) -> Bound:
        """The end of what is read of the log."""
        return self.point.through if self.point.recorded_at is None else self.point.recorded_at

    def has_occurred(self, when: datetime) -> bool:
        """Whether an event of a time belongs to the point in time."""
        return self.point.occurred_at is None or when <= self.point.occurred_at

    async def display(self) -> Display:
        """Return how values are rounded: by the instruments of now. Nothing but the rounding depends on them."""
        async with self.store.unit_of_work() as uow:
            try:
                found = await uow.instruments.get_all_instruments(quarantined="last_good")
            except ProjectionLagError:
                found = await uow.instruments.get_all_instruments(consistency="eventual")
        return Display.of(found)

    async def events(
        self,
        types: Iterable[type[Event]],
        *,
        streams: Collection[UUID] | None = None,
    ) -> AsyncIterator[RecordedEvent]:
        """Yield the events of some classes, in order, that belong to the point in time.

        Other tasks run between slices, those in which the caller uses the events included.
        """
        replay = self.store.replay(types=with_derived(*types), streams=streams, through=self.bound)
        slices = Slices()
        async for page in replay.pages():
            for recorded in page:
                for part in recorded.upcast_events:
                    if self.has_occurred(part.occurred_at):
                        yield part
                await slices.rest()

    async def read(self, *readers: Reader) -> None:
        """Let some readers take their events, all of them in one pass over the log. Other tasks run between slices.

        Raises:
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
            ConnectionError, TimeoutError: The database failed.
        """
        reading = _Readers(readers)
        if not reading.types:
            return
        replay = self.store.replay(types=reading.types, streams=reading.streams, through=self.bound)
        slices = Slices()
        async for page in replay.pages():
            for begin in range(0, len(page), _TAKEN_AT_A_TIME):
                with decimal_arithmetic():
                    for recorded in page[begin : begin + _TAKEN_AT_A_TIME]:
                        for part in recorded.upcast_events:
                            if self.has_occurred(part.occurred_at):
                                reading.take(part)
                await slices.rest()

    async def positions_of(self, portfolio: UUID) -> list[UUID]:
        """Return the ids of the positions that a portfolio ever had, those that were deleted too."""
        if portfolio not in self._positions_of:
            found = {
                part.stream_id
                async for part in self.events([PositionOpened, PositionAmended])
                if getattr(part.event, "portfolio_id", None) == portfolio
            }
            self._positions_of[portfolio] = sorted(found)
        return self._positions_of[portfolio]

    async def currencies(self, portfolios: Iterable[UUID | None]) -> dict[UUID | None, str | None]:
        """Return the currencies of portfolios, those that were deleted too."""
        wanted = {id for id in portfolios if id is not None}
        known = self._currencies
        if new := wanted - self._asked:
            if len(new) == 1:
                one = await self.past.portfolios.get_portfolio_by_id(next(iter(new)))
                found = [] if one is None else [one]
            else:
                found = list(await self.past.portfolios.get_all_portfolios())
            known |= {one.id: one.currency for one in found if one.id in new}
            if deleted := new - known.keys():
                await self._read_currencies(deleted)
            self._asked.update(new)
        return {id: known[id] for id in wanted if id in known}

    async def _read_currencies(self, portfolios: Collection[UUID]) -> None:
        """Read the currencies of portfolios that were deleted from their events."""
        known = self._currencies
        async for part in self.events([PortfolioCreated, PortfolioAmended], streams=portfolios):
            event: Any = part.event
            before = known.get(part.stream_id)
            is_new = isinstance(event, PortfolioCreated)
            known[part.stream_id] = event.currency if is_new else event.changes.get("currency", before)

    async def with_currencies(self, some: Collection[T]) -> list[tuple[T, str | None]]:
        """Return those orders or positions whose currency is asked for, each with its currency."""
        of_portfolios = await self.currencies({one.portfolio_id for one in some if one.currency is None})
        found = ((one, currency_of(one, of_portfolios)) for one in some)
        return await listed(found, lambda pair: self.question.has_currency(pair[1]))

    async def positions(self) -> AsyncIterator[tuple[Position, str | None]]:
        """Yield the positions of the question with their currencies, open and closed ones, in the order of their openings."""
        asked, positions = self.question, self.past.positions

        async def read(after: Position | None) -> Page[Position]:
            page: Mapping[str, Any] = {"after": after, "limit": _PAGE_ENTITIES}
            if asked.portfolio is not None:
                return await positions.get_positions_by_portfolio(asked.portfolio, **page)
            if asked.symbol is not None:
                return await positions.get_positions_by_symbol(asked.symbol, **page)
            if asked.strategy is not None:
                return await positions.get_positions_by_strategy(asked.strategy, **page)
            if asked.account is not None:
                return await positions.get_positions_by_account(asked.account, **page)
            return await positions.get_positions_by_date_range(_FIRST, _LAST, **page)

        async for one in self._of_pages(read):
            yield one

    async def open_positions(self) -> AsyncIterator[tuple[Position, str | None]]:
        """Yield the open positions of the question with their currencies, in the order of their openings."""

        async def read(after: Position | None) -> Page[Position]:
            return await self.past.positions.get_active_positions(after=after, limit=_PAGE_ENTITIES)

        async for one in self._of_pages(read):
            yield one

    async def orders(self) -> AsyncIterator[tuple[Order, str | None]]:
        """Yield the orders of the question with their currencies, in the order of their creation."""
        asked, orders = self.question, self.past.orders

        async def read(after: Order | None) -> Page[Order]:
            page: Mapping[str, Any] = {"after": after, "limit": _PAGE_ENTITIES}
            if asked.symbol is not None:
                return await orders.get_orders_by_symbol(asked.symbol, **page)
            if asked.account is not None:
                return await orders.get_orders_by_account(asked.account, **page)
            return await orders.get_orders_by_date_range(asked.since or _FIRST, asked.until or _LAST, **page)

        async for one in self._of_pages(read, lambda one: asked.has_time(one.created_at)):
            yield one

    async def _of_pages(
        self, read: Callable[[T | None], Awaitable[Page[T]]], matches: Callable[[T], bool] = lambda _: True
    ) -> AsyncIterator[tuple[T, str | None]]:
        """Yield the entities of a list that belong to the question, with their currencies; one page is in memory at a time."""
        slices = Slices()
        after: T | None = None
        while True:
            page = await read(after)
            wanted = [one for one in page if has(self.question, one) and matches(one)]
            for one in await self.with_currencies(wanted):
                yield one
                await slices.rest()
            if len(page) < _PAGE_ENTITIES:
                return
            after = page[-1]


def currency_of(one: Any, of_portfolios: Mapping[UUID | None, str | None]) -> str | None:
    """Return the currency of an order, a position or an execution: its portfolio's, unless it names one."""
    return of_portfolios.get(one.portfolio_id) if one.currency is None else one.currency


def has(question: Question, one: Any) -> bool:
    """Whether an order, a position or an event of an execution belongs to an answer."""
    return question.has(
        portfolio=one.portfolio_id, strategy=one.strategy, symbol=one.symbol, account=one.account
    )


@asynccontextmanager
async def moment_of(store: EventStore, question: Question) -> AsyncIterator[Moment]:
    """Open the store as of the point in time of a question; now is the end of the log at the call.

    All that is read in the block is of one server.

    Raises:
        ConfigurationError: The position is beyond the end of the log.
        ConnectionError, TimeoutError: Safe to retry.
    """
    collector = ExitStack()
    collector.enter_context(collecting_rarely())
    try:
        with store.log.server.steady():
            async with await _opened(store, question.asked) as past:
                yield Moment(store, past, question)
    finally:
        # Later, because then the report is returned and all that it was made of is gone: nothing is left to look at.
        asyncio.get_running_loop().call_soon(collector.close)


async def _opened(store: EventStore, asked: PointInTime | None) -> Opening[Past]:
    if asked is None:
        return store.as_of(position=await store.log.head())
    if asked.recorded_at is not None:
        return store.as_of(recorded_at=asked.recorded_at)
    if asked.occurred_at is not None:
        return store.as_of(occurred_at=asked.occurred_at)
    return store.as_of(position=asked.through)


class Asked(Protocol):
    """A report that is not read yet."""

    @property
    def question(self) -> Question:
        """What is asked for."""

    async def readers(self, moment: Moment, /) -> Sequence[Reader]:
        """Return what reads the events that the report is made of."""

    async def report(self, moment: Moment, /) -> Report:
        """Return the report, after its readers have taken their events."""


async def answer(store: EventStore, asked: Asked) -> Report:
    """Read a report.

    Raises:
        EventStoreError: As `Reports` says.
    """
    (found,) = await answers(store, asked)
    return found


async def answers(store: EventStore, *asked: Asked) -> list[Report]:
    """Read some reports of one point in time, which is that of the first; they share one pass over the log.

    Each is the one that `answer` would return.

    Raises:
        EventStoreError: As `Reports` says.
    """
    async with moment_of(store, asked[0].question) as moment:
        its = [(one, replace(moment, question=one.question)) for one in asked]
        readers = [reader for one, of_one in its for reader in await one.readers(of_one)]
        await moment.read(*dict.fromkeys(readers))
        return [await one.report(of_one) for one, of_one in its]


async def converter_of(
    moment: Moment,
    base: str | None,
    rates: Rates | None,
    portfolios: Iterable[UUID | None],
) -> Converter:
    """Return what turns the amounts of portfolios into one currency; a portfolio that was asked for is one of them.

    Raises:
        ConfigurationError, DomainError: As `Converter.of`.
    """
    if rates is None or base is not None:
        return Converter.of(base, rates)
    of_rows = set(portfolios)
    currencies = await moment.currencies({*of_rows, moment.question.portfolio})
    return Converter.of(None, rates, currencies.values(), is_empty=not of_rows)


def text_of(id: UUID | None) -> str | None:
    """Return an id as text."""
    return None if id is None else str(id)
