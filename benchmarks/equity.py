"""The curve of equity of a portfolio whose positions were filled and marked for years."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import orjson

from benchmarks.bench import Bench
from benchmarks.history import TIMEOUT_S
from benchmarks.workload import Figure, Goal, Workload, seconds
from eventstore import EventStore, OrderSide, Portfolio, Position

__all__ = ["EquityCurve"]

_DATABASE = "equity"
_POSITIONS = 20
_IN_TURN = 3
"""A mark, a fill, and the trade that the fill is for the portfolio."""
_BEGIN = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
_PAGE_EVENTS = 1_000

_LATER = f"""
INSERT INTO events (position, occurred_at, recorded_at, version, schema_version, stream_id, event_id, category, type,
                    data, metadata)
SELECT $1::bigint + {_IN_TURN} * step + what, moment, moment,
       CASE what WHEN 3 THEN step + 2 ELSE 2 * (step / {_POSITIONS}) + what + 1 END, 1,
       CASE what WHEN 3 THEN $3::uuid ELSE ($4::uuid[])[step % {_POSITIONS} + 1] END, gen_random_uuid(),
       CASE what WHEN 3 THEN 'portfolio' ELSE 'position' END,
       ($5::text[])[what],
       ($6::text[])[what]::jsonb || CASE what
           WHEN 1 THEN jsonb_build_object('price', price)
           WHEN 2 THEN jsonb_build_object('price', price, 'execution_id', 'E' || step, 'quantity', (1 + step % 7)::text,
                                          'side', CASE WHEN (step / {_POSITIONS}) % 2 = 0 THEN 'BUY' ELSE 'SELL' END)
           ELSE jsonb_build_object('execution_id', 'E' || step, 'realized_pnl', (step % 500 - 250)::text || '.25')
       END, '{{}}'
FROM (
    SELECT step, what, $7::timestamptz + (step * {_IN_TURN} + what) * interval '100 milliseconds' AS moment,
           (100 + (step * 7919 % 1000) * 0.01)::numeric(10, 2)::text AS price
    FROM generate_series(0, $2::bigint - 1) AS step CROSS JOIN generate_series(1, {_IN_TURN}) AS what
) AS steps
ORDER BY step, what
"""
_EVENTS = (
    "SELECT position, occurred_at, type, data FROM events WHERE position > $1 ORDER BY position LIMIT $2"
)


class EquityCurve(Workload):
    """The curve of one portfolio, by `occurred_at`."""

    name = "equity_curve"
    title = "equity curve of a portfolio with 20 positions / one million events in 3 s"
    unit = "events/s"
    goals = (Goal(1.0, floor=1_000_000 / 3),)

    async def measure(self, bench: Bench) -> Figure:
        """Measure it, and beside it pages of raw asyncpg, decoded with orjson."""
        store = await bench.database(_DATABASE)
        portfolio = await _history(store, bench.sizes.history_events)
        events = await store.log.head()

        async def curve() -> None:
            await store.equity_curve(portfolio)

        value = events / await seconds(curve())
        pages = events / await seconds(_pages(store))
        return Figure(value, self.goals[0].floor or value, {"asyncpg pages and orjson": pages})


async def _pages(store: EventStore) -> None:
    after = 0
    async with store.connection.acquire() as connection:
        while rows := await connection.fetch(_EVENTS, after, _PAGE_EVENTS):
            for row in rows:
                orjson.loads(row["data"])
            after = rows[-1]["position"]


async def _history(store: EventStore, events: int) -> UUID:
    """Return the portfolio; the first call makes the log."""
    async with store.connection.acquire_for_user() as connection:
        known: UUID | None = await connection.fetchval(
            "SELECT stream_id FROM events WHERE type = 'PortfolioCreated' LIMIT 1"
        )
        if known is not None:
            return known
    portfolio = Portfolio(name="P", initial_capital=Decimal(1_000_000), created_at=_BEGIN)
    positions = [
        Position.open_by_fill(
            f"S{number}",
            OrderSide.BUY,
            Decimal(10),
            Decimal(100),
            execution_id=f"O{number}",
            portfolio_id=portfolio.id,
            occurred_at=_BEGIN,
        )
        for number in range(_POSITIONS)
    ]
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        for position in positions:
            await uow.positions.save_position(position)
    template = positions[0]
    template.mark(Decimal(100), occurred_at=_BEGIN)
    template.apply_fill(OrderSide.BUY, Decimal(1), Decimal(100), "E", occurred_at=_BEGIN)
    portfolio.record_trade("E", realized_pnl=Decimal(1), commission=Decimal("0.5"), occurred_at=_BEGIN)
    made = [one.event for one in (*template.pending_events, *portfolio.pending_events)]
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(
            _LATER,
            await store.log.head(),
            max(events // _IN_TURN, 1),
            portfolio.id,
            [one.id for one in positions],
            [one.type for one in made],
            [one.to_json().decode() for one in made],
            _BEGIN + timedelta(minutes=1),
            timeout=TIMEOUT_S,
        )
        await connection.execute("SELECT setval('events_position_seq', (SELECT max(position) FROM events))")
        await connection.execute("VACUUM ANALYZE events", timeout=TIMEOUT_S)
    return portfolio.id
