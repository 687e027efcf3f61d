"""Reads what reports are made of: the state as of one point in time, and the events up to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventstore.core.event import Event, RecordedEvent, with_derived
from eventstore.domain.order import Order
from eventstore.domain.position import Position, PositionAmended, PositionOpened
from eventstore.errors import ProjectionLagError
from eventstore.replay.as_of import Past
from eventstore.replay.bounds import Bound
from eventstore.replay.point_in_time import PointInTime
from eventstore.reports.display import Display
from eventstore.reports.filters import Question

if TYPE_CHECKING:
    from eventstore.store import EventStore

_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


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
        """Yield the events of some classes, in order, that belong to the point in time."""
        replay = self.store.replay(types=with_derived(*types), streams=streams, through=self.bound)
        async for page in replay.pages():
            for recorded in page:
                for part in recorded.upcast_events:
                    if self.has_occurred(part.occurred_at):
                        yield part

    async def positions_of(self, portfolio: UUID) -> list[UUID]:
        """Return the ids of the positions that a portfolio ever had, those that were deleted too."""
        found = {
            part.stream_id
            async for part in self.events([PositionOpened, PositionAmended])
            if getattr(part.event, "portfolio_id", None) == portfolio
        }
        return sorted(found)

    async def positions(self) -> list[Position]:
        """Return the positions of the question, open and closed ones, in the order of their openings."""
        asked, positions = self.question, self.past.positions
        found: Iterable[Position]
        if asked.portfolio is not None:
            found = await positions.get_positions_by_portfolio(asked.portfolio)
        elif asked.symbol is not None:
            found = await positions.get_positions_by_symbol(asked.symbol)
        elif asked.strategy is not None:
            found = await positions.get_positions_by_strategy(asked.strategy)
        elif asked.account is not None:
            found = await positions.get_positions_by_account(asked.account)
        else:
            found = await positions.get_positions_by_date_range(_FIRST, _LAST)
        return sorted(
            (one for one in found if has(asked, one) and asked.has_currency(one.currency)),
            key=lambda one: (one.opened_at, one.id),
        )

    async def orders(self) -> list[Order]:
        """Return the orders of the question, in the order of their creation."""
        asked, orders = self.question, self.past.orders
        found: Iterable[Order]
        if asked.symbol is not None:
            found = await orders.get_orders_by_symbol(asked.symbol)
        elif asked.account is not None:
            found = await orders.get_orders_by_account(asked.account)
        else:
            found = await orders.get_orders_by_date_range(asked.since or _FIRST, asked.until or _LAST)
        return [
            one
            for one in found
            if has(asked, one) and asked.has_currency(one.currency) and asked.has_time(one.created_at)
        ]


def has(question: Question, one: Any) -> bool:
    """Whether an order, a position or an event of an execution belongs to an answer."""
    return question.has(
        portfolio=one.portfolio_id, strategy=one.strategy, symbol=one.symbol, account=one.account
    )


@asynccontextmanager
async def moment_of(store: EventStore, question: Question) -> AsyncIterator[Moment]:
    """Open the store as of the point in time of a question; now is the end of the log at the call.

    Raises:
        ConfigurationError: The position is beyond the end of the log.
        ConnectionError, TimeoutError: Safe to retry.
    """
    asked = question.asked
    if asked is None:
        opened = store.as_of(position=await store.log.head())
    elif asked.recorded_at is not None:
        opened = store.as_of(recorded_at=asked.recorded_at)
    elif asked.occurred_at is not None:
        opened = store.as_of(occurred_at=asked.occurred_at)
    else:
        opened = store.as_of(position=asked.through)
    async with opened as past:
        yield Moment(store, past, question)


def text_of(id: UUID | None) -> str | None:
    """Return an id as text."""
    return None if id is None else str(id)
