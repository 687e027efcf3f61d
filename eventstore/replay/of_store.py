"""What a store offers of the past, beside the repositories of a point in time."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, TypeVar, overload
from uuid import UUID

from eventstore.core.entity import Entity
from eventstore.core.event import Event, RecordedEvent
from eventstore.domain.portfolio import Portfolio
from eventstore.log.event_log import EventLog
from eventstore.log.unreadable import OnUnreadable
from eventstore.replay.bounds import Bound
from eventstore.replay.equity import Clock, EquityCurve, equity_curve
from eventstore.replay.history import Changes, HistoryEntry, class_and_id, diff, history
from eventstore.replay.pages import PAGE_EVENTS_MAX
from eventstore.replay.rebuilding import Where, rebuild_state
from eventstore.replay.replay import OnProgress, Replay
from eventstore.repositories.query import as_id

E = TypeVar("E", bound=Entity)


class PastOfStore:
    """The methods of an `EventStore` that read its log alone.

    Attributes:
        log: The event log.
    """

    log: EventLog

    def replay(
        self,
        *,
        categories: Collection[str] | None = None,
        types: Collection[str | type[Event]] | None = None,
        streams: Collection[UUID | Entity] | None = None,
        after: Bound = 0,
        through: Bound | None = None,
        page_events_max: int = PAGE_EVENTS_MAX,
        on_progress: OnProgress | None = None,
        on_unreadable: OnUnreadable = "raise",
    ) -> Replay:
        """Return a replay of events in order, in constant memory: iterate over it, or over its `pages()`.

        Args:
            categories: Only of these categories; None: of all.
            types: Only of these types, each a name or an event class, once upcast; None: of all.
            streams: Only of these streams, each by its id or its entity; None: of all.
            after: Begin after this position, exclusive; or after this point in time, exclusive, by `recorded_at`.
            through: End with this position, inclusive; or with this point in time, inclusive, by `recorded_at`; None: with
                the last event there is when the iteration begins. A naive datetime means local time.
            page_events_max: The most events that a statement reads at a time; at least 1.
            on_progress: Is told of the progress when a page has been given out.
            on_unreadable: What to do with an event that cannot be read, once those before it were given out: stop with
                its error (`raise`), leave it out with a warning (`skip`), or call a function with the `UnreadableEvent`,
                which may raise, or return to go on past it.

        Raises:
            ConfigurationError: A bound is negative or of another type, the size of a page is not positive, or
                `on_unreadable` is none of its kinds.
        """
        return Replay(
            self.log,
            categories=categories,
            types=types,
            streams=None if streams is None else [as_id(Entity, one) for one in streams],
            after=after,
            through=through,
            page_events_max=page_events_max,
            on_progress=on_progress,
            on_unreadable=on_unreadable,
        )

    async def rebuild_state(
        self,
        entity_class: type[E],
        *,
        ids: Collection[UUID | E] | None = None,
        where: Where[E] | None = None,
        through: Bound | None = None,
        on_progress: OnProgress | None = None,
    ) -> dict[UUID, E]:
        """Fold the streams of many entities in one pass over the log, without the read tables.

        All entities of the category are in memory at its end, or those of `ids`, and then those of `where` stay.

        Args:
            entity_class: The class, such as `Order`.
            ids: Only these, each by its id or as an entity; an id without events, or of another category, is left out. None: all.
            where: Only those that a predicate is true of, `where=lambda order: order.is_active`, or whose fields and
                properties have these values, `where={"symbol": "ESU3"}`. None: all.
            through: As they were at this position, or recorded up to this point in time; None: now.
            on_progress: Is told of the progress.

        Returns:
            The entities by id, each with the version of its stream, ready to be changed and saved; none of them deleted.

        Raises:
            ConfigurationError: The class has no category, `where` names no field, or a bound is negative.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        return await rebuild_state(
            self.log,
            entity_class,
            ids=None if ids is None else [as_id(entity_class, one) for one in ids],
            where=where,
            through=through,
            on_progress=on_progress,
        )

    @overload
    async def history(self, entity: UUID) -> list[RecordedEvent]: ...
    @overload
    async def history(self, entity: type[E], id: UUID) -> list[HistoryEntry[E]]: ...
    @overload
    async def history(self, entity: E) -> list[HistoryEntry[E]]: ...
    async def history(self, entity: UUID | E | type[E], id: UUID | None = None) -> list[Any]:
        """Return the history of one entity, in order; empty where there is none.

        Args:
            entity: The entity, or its class; or the id alone, for the bare events.
            id: Its id, where its class is given.

        Returns:
            Each event with what it changed and the state after it, all in memory; of an id alone, its events.

        Raises:
            ConfigurationError: The class is given without an id, or the id is of another category.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        if isinstance(entity, UUID):
            return await self.log.read_stream(entity)
        return await history(self.log, *class_and_id(entity, id))

    async def diff(
        self, entity: E | type[E], a: int | datetime, b: int | datetime, *, id: UUID | None = None
    ) -> Changes:
        """Return the fields of an entity that differ between two of its states.

        Args:
            entity: The entity, or its class.
            a: The first state: a version, 0 before it existed; or what was recorded up to a point in time.
            b: The second state, as `a`; it may be the earlier one.
            id: Its id, where its class is given.

        Raises:
            ConfigurationError: The class is given without an id, the id is of another category, or there is no such version.
            EntityNotFoundError: No event has this id.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        return await diff(self.log, *class_and_id(entity, id), a, b)

    async def equity_curve(
        self,
        portfolio: Portfolio | UUID,
        *,
        clock: Clock = "occurred_at",
        after: datetime | None = None,
        through: Bound | None = None,
    ) -> EquityCurve:
        """Return the equity of a portfolio over time, from its events and those of its positions, deleted ones too.

        At each point in time it is `PortfolioTotals.equity`: initial capital + net deposits + realised + unrealised results -
        commissions; a position that was never marked is valued at its entry prices.

        Args:
            portfolio: The portfolio or its id.
            clock: By when things happened (a fill that was reported late counts in its place), or by when they became
                known, `recorded_at`.
            after: Only points after this point in time; None: from its beginning.
            through: What the log has up to this position, or recorded up to this point in time; None: all.

        Raises:
            ConfigurationError: The clock is none of the two, or a bound is negative.
            RepositoryError: It is an entity of another class, or no id.
            PortfolioNotFoundError: No portfolio has this id.
            ConnectionError, TimeoutError: Safe to retry.
            UnknownEventTypeError, EventDecodingError: The code does not know an event.
        """
        portfolio_id: UUID = as_id(Portfolio, portfolio)
        return await equity_curve(self.log, portfolio_id, clock=clock, after=after, through=through)
