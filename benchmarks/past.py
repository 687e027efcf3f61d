"""The past of a long log: one entity and the whole book, as of any moment, by either clock."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from benchmarks.bench import Bench
from benchmarks.history import ASCENDING_ID, BEGIN, EVENTS_OF_AN_ORDER, TIMEOUT_S, life_of_an_order
from benchmarks.workload import Figure, Goal, Workload
from eventstore import EventStore, OrderSide, Portfolio, Position
from eventstore.core import Entity
from eventstore.domain import Settlement
from eventstore.replay import Past
from eventstore.store import built_in_projections
from projections import ProjectionWorker

__all__ = ["AsOfBook", "AsOfEntity"]

_ORDERS_AT_ONCE = 300
_POSITIONS = 20
_FILLS = 180
"""Fills of the first position in a turn, and trades of the portfolio; all other positions have one fill."""

_MOMENTS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
_TURN = timedelta(seconds=1)
_TURNS_AT_A_TIME = 50
_REPEATS = 3

_TEMPLATE = """
CREATE TEMPORARY TABLE turn (
    place bigint, number integer, stream_id uuid, version integer, versions integer, category text, type text, data text,
    occurred_at timestamptz
)
"""
_MULTIPLY = f"""
INSERT INTO events (position, occurred_at, recorded_at, version, schema_version, stream_id, event_id, category, type,
                    data, metadata)
SELECT $3 + position, occurred_at, occurred_at, version, 1,
       coalesce(stream_id, (SELECT {ASCENDING_ID.format(n="turns * 1000 + number")} FROM md5('s' || (turns * 1000 + number)) AS h)),
       (SELECT {ASCENDING_ID.format(n="position")} FROM md5('e' || position) AS h),
       category, type, replace(data, '@', turns::text)::jsonb, '{{}}'
FROM (
    SELECT turns, number, stream_id, version + turns * versions AS version, category, type, data,
           occurred_at + turns * interval '1 second' AS occurred_at,
           turns * (SELECT max(place) FROM turn) + place AS position
    FROM generate_series($1::bigint, $2::bigint) AS turns CROSS JOIN turn
) AS multiplied
ORDER BY position
"""


@dataclass(frozen=True, slots=True)
class _Book:
    """A log of orders, positions and a portfolio, with read tables that workers have folded.

    Attributes:
        store: The store.
        head: The last position.
        long: The position and the portfolio that have long streams.
    """

    store: EventStore
    head: int
    long: Sequence[Entity]

    def moments(self) -> list[dict[str, Any]]:
        """Moments all over the log, by either clock."""
        whole = self.head // _events_of_a_turn() * _TURN
        times: list[datetime] = [BEGIN + whole * share for share in _MOMENTS]
        return [{clock: at} for at in times for clock in ("recorded_at", "occurred_at")]


def _events_of_a_turn() -> int:
    return _ORDERS_AT_ONCE * EVENTS_OF_AN_ORDER + 2 * _FILLS + _POSITIONS - 1


_books: WeakKeyDictionary[Bench, _Book] = WeakKeyDictionary()


async def book(bench: Bench, events: int) -> _Book:
    """Return a log of about so many events, made at the first call."""
    if bench not in _books:
        store = await bench.database("past")
        long = await _make(store, events)
        head = await store.log.head()
        for projection in built_in_projections():
            await ProjectionWorker(store.log, projection).catch_up(head)
        _books[bench] = _Book(store, head, long)
    return _books[bench]


async def _make(store: EventStore, events: int) -> Sequence[Entity]:
    portfolio = Portfolio(
        name="main", initial_capital=Decimal(1_000_000), settlement=Settlement.ON_MARGIN, created_at=BEGIN
    )
    portfolio.record_assignments()
    positions = [
        Position.open_position(
            f"SYM{number}",
            Decimal(100),
            Decimal(585),
            Decimal(0),
            portfolio_id=portfolio.id,
            occurred_at=BEGIN,
        )
        for number in range(_POSITIONS)
    ]
    first = [
        (place, *_record(entity, 0, 0, entity.pending_events[0].event))
        for place, entity in enumerate([portfolio, *positions], start=1)
    ]
    records = _turn(portfolio, positions)
    turns = max(events // len(records), 1)
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(_TEMPLATE)
        await connection.copy_records_to_table("turn", records=first)
        await connection.execute(_MULTIPLY, 0, 0, 0)
        await connection.execute("TRUNCATE turn")
        await connection.copy_records_to_table("turn", records=records)
        for begin in range(0, turns, _TURNS_AT_A_TIME):
            end = min(begin + _TURNS_AT_A_TIME, turns) - 1
            await connection.execute(_MULTIPLY, begin, end, len(first), timeout=TIMEOUT_S)
        await connection.execute("SELECT setval('events_position_seq', (SELECT max(position) FROM events))")
    return positions[0], portfolio


def _turn(portfolio: Portfolio, positions: Sequence[Position]) -> list[tuple[Any, ...]]:
    """The events of one second: the lives of orders side by side, and among them fills and trades of long streams."""
    waiting: list[tuple[float, tuple[Any, ...]]] = []
    for number in range(_ORDERS_AT_ONCE):
        order = life_of_an_order(number)
        for version, pending in enumerate(order.pending_events, start=1):
            event = pending.event
            waiting.append(
                (
                    (version - 1 + number / _ORDERS_AT_ONCE) / EVENTS_OF_AN_ORDER,
                    (
                        number,
                        None,
                        version,
                        0,
                        "order",
                        event.type,
                        event.to_json().decode(),
                        event.occurred_at,
                    ),
                )
            )
    fills = [_FILLS, *([1] * (_POSITIONS - 1))]
    for position, count in zip(positions, fills, strict=True):
        waiting += [
            ((fill + 0.5) / count, _record(position, fill + 1, count, _fill(position, fill)))
            for fill in range(count)
        ]
    waiting += [
        ((trade + 0.6) / _FILLS, _record(portfolio, trade + 1, _FILLS, _trade(portfolio, trade)))
        for trade in range(_FILLS)
    ]
    waiting.sort(key=lambda one: one[0])
    return [(place, *record) for place, (_, record) in enumerate(waiting, start=1)]


def _record(entity: Entity, events_before: int, events_of_a_turn: int, event: Any) -> tuple[Any, ...]:
    data = event.to_json().decode()
    return (
        None, entity.id, events_before + 1, events_of_a_turn, entity.category, event.type, data,
        event.occurred_at,
    )  # fmt: skip


def _fill(position: Position, number: int) -> Any:
    side = OrderSide.SELL if number % 2 else OrderSide.BUY
    at = BEGIN + _TURN * (number / _FILLS)
    position.apply_fill(
        side, Decimal(1), Decimal(585), f"F-@-{number}", commission=Decimal("0.35"), occurred_at=at
    )
    return position.pending_events[-1].event


def _trade(portfolio: Portfolio, number: int) -> Any:
    at = BEGIN + _TURN * (number / _FILLS)
    portfolio.record_trade(
        f"T-@-{number}", realized_pnl=Decimal(1), commission=Decimal("0.35"), occurred_at=at
    )
    return portfolio.pending_events[-1].event


async def _worst_ms(found: _Book, read: Callable[[Past], Awaitable[None]]) -> dict[str, float]:
    """The milliseconds of the slowest moment by each clock; of each moment the best of a few."""
    by_clock: dict[str, float] = {}
    for when in found.moments():
        best = float("inf")
        for _ in range(_REPEATS):
            began = time.perf_counter()
            async with found.store.as_of(**when) as past:
                await read(past)
            best = min(best, time.perf_counter() - began)
        (clock,) = when
        by_clock[clock] = max(by_clock.get(clock, 0.0), best * 1e3)
    return by_clock


class AsOfEntity(Workload):
    """A position with a tenth of all events, and the portfolio with as many: the slower one, at the slowest moment."""

    name = "as_of_entity"
    title = "one entity with a long stream as of any moment / the goal itself"
    unit = "ms"
    goals = (Goal(1.0, goal_is="at_most", floor=20.0),)

    async def measure(self, bench: Bench) -> Figure:
        """Measure all moments, by either clock."""
        found = await book(bench, bench.sizes.history_events)
        beside: dict[str, float] = {}
        for entity in found.long:
            by_clock = await _worst_ms(found, partial(_read_entity, entity))
            beside |= {f"{entity.category}, {clock}": value for clock, value in by_clock.items()}
        return Figure(max(beside.values()), 20.0, beside)


class AsOfBook(Workload):
    """Active orders, open positions and portfolios, at the slowest moment."""

    name = "as_of_book"
    title = "the whole book as of any moment / the goal itself"
    unit = "ms"
    goals = (Goal(1.0, goal_is="at_most", floor=200.0),)

    async def measure(self, bench: Bench) -> Figure:
        """Measure all moments, by either clock."""
        found = await book(bench, bench.sizes.history_events)
        by_clock = await _worst_ms(found, _read_book)
        return Figure(max(by_clock.values()), 200.0, by_clock)


async def _read_entity(entity: Entity, past: Past) -> None:
    if await past.entities(type(entity)).get(entity.id) is None:
        raise RuntimeError("the entity is missing")


async def _read_book(past: Past) -> None:
    await past.orders.get_active_orders()
    if len(await past.positions.get_active_positions()) != _POSITIONS:
        raise RuntimeError("positions are missing")
    await past.portfolios.get_all_portfolios()
