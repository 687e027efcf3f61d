"""Reports that are read together: each is the one that its own call returns, and the log is read once for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from eventstore.core import Event, RecordedEvent
from eventstore.database import ConnectionFactory, DatabaseConfig
from eventstore.domain.executions import OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position, PositionFilled, PositionOpened
from eventstore.replay.executions import Executions
from eventstore.reports import Report
from eventstore.reports.equity import Drawdown
from eventstore.reports.fills import Fills
from eventstore.reports.filters import Question
from eventstore.reports.grouping import Grouping
from eventstore.reports.pnl import Pnl
from eventstore.reports.reading import answers, moment_of
from eventstore.reports.results import Results
from eventstore.reports.trades import Trades
from eventstore.reports.turnover import Turnover
from eventstore.store import EventStore
from eventstore.tear_sheet.sheet import _Asked, _reports
from eventstore.time_zones import zone_named
from tests.histories.futures import FUTURES
from tests.histories.history import History
from tests.histories.perpetuals import PERPETUALS
from tests.histories.player import Player
from tests.histories.shares import SHARES
from tests.relay import Relay

D = Decimal
ONE, TWO = UUID(int=1), UUID(int=2)
HISTORIES = pytest.mark.parametrize("history", [PERPETUALS, SHARES, FUTURES], ids=lambda one: one.name)
NEW_YORK: Any = {"timezone": zone_named("America/New_York"), "session_end": "17:00"}
NO_RATES: Any = {"rates": None, "base": None}


def contents(report: Report) -> tuple[Any, ...]:
    """All that a report says."""
    return report.name, report.columns, report.through, report.rows(), report.shown()


def at(month: int, day: int = 10) -> datetime:
    """A noon of 2026."""
    return datetime(2026, month, day, 12, tzinfo=UTC)


async def assert_sheet_is_of_reports(store: EventStore, **asked: Any) -> None:
    """Each report of a tear sheet is that of `store.reports`, for one question."""
    names = ("portfolio", "strategy", "currency", "position", "recorded_at", "occurred_at")
    of_moment: dict[str, Any] = {name: asked.get(name) for name in names}
    of_period = {"from_": asked.get("from_"), "to": asked.get("to")}
    rates: Any = {"rates": asked.get("rates"), "base": asked.get("base")}
    found = await _reports(
        store, _Asked(of_moment, of_period, NEW_YORK["timezone"], NEW_YORK["session_end"], **rates)
    )
    until, both = {**of_moment, "to": of_period["to"]}, {**of_moment, **of_period}
    its = store.reports
    wanted = {
        "portfolios": await its.portfolios(**rates, **of_moment),
        "equity": await its.equity(**rates, **until),
        "trades": await its.trades(**rates, **both),
        "exposure": await its.exposure(by="symbol", **rates, **until),
        "by_strategy": await its.pnl(by=("strategy", "currency"), **NEW_YORK, **rates, **both),
        "by_symbol": await its.pnl(by=("symbol", "currency"), **NEW_YORK, **rates, **both),
        "by_month": await its.pnl(by=("month", "currency"), **NEW_YORK, **rates, **both),
        "turnover": await its.turnover(by=("month", "currency"), **NEW_YORK, **rates, **both),
    }
    for name, report in wanted.items():
        assert contents(getattr(found, name)) == contents(report), name


@HISTORIES
async def test_a_tear_sheet_has_the_numbers_of_the_reports(store: EventStore, history: History):
    """Of accounts with flips, busts, corrections and late fills: of now, of a range, of a portfolio, and of a time of either clock."""
    player = Player(store, history)
    for row in history.rows:
        await player.tell(row)
    times = sorted(row.time for row in history.rows)
    since, middle = times[len(times) // 4], times[len(times) // 2]
    events = [one async for one in store.log.read_all()]
    recorded = events[len(events) // 2].recorded_at
    await assert_sheet_is_of_reports(store)
    await assert_sheet_is_of_reports(store, from_=since, to=times[-2])
    await assert_sheet_is_of_reports(store, portfolio=player.portfolio_id)
    await assert_sheet_is_of_reports(store, occurred_at=middle, from_=since)
    await assert_sheet_is_of_reports(store, recorded_at=recorded)


@pytest_asyncio.fixture
async def moved(store: EventStore) -> EventStore:
    """A position that moves to another strategy and portfolio between two months, and trades that no position has."""
    one, two = (
        Portfolio(id=id, name=name, currency="USD", initial_capital=D(1000), created_at=at(1))
        for id, name in ((ONE, "one"), (TWO, "two"))
    )
    position = Position.open_position(
        "A", D(10), D(20), D(1), portfolio_id=ONE, strategy="slow", execution_id="E1", currency="USD",
        occurred_at=at(2),
    )  # fmt: skip
    position.mark(D(25), occurred_at=at(2, 20))
    one.record_trade("E1", commission=D(1), symbol="A", occurred_at=at(2))
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_many([one, two])
        await uow.positions.save_position(position)
    async with store.unit_of_work() as uow:
        position.strategy, position.portfolio_id = "fast", TWO
        position.record_assignments(occurred_at=at(3))
        await uow.positions.update_position(position)
    async with store.unit_of_work() as uow:
        position.apply_fill(OrderSide.SELL, D(10), D(24), "E2", commission=D(1), occurred_at=at(4))
        two.record_trade("E2", realized_pnl=D(40), commission=D(1), symbol="A", occurred_at=at(4))
        two.record_trade("E9", realized_pnl=D(7), commission=D(2), symbol="Z", occurred_at=at(5))
        await uow.positions.update_position(position)
        await uow.portfolios.update_portfolio(two)
    return store


async def test_longer_periods_are_joined_from_months(moved: EventStore):
    """The result of the whole range is that of the last strategy; of the months, that of the strategy of each."""
    await assert_sheet_is_of_reports(moved)
    await assert_sheet_is_of_reports(moved, from_=at(2, 15))
    whole = await moved.reports.pnl(by="strategy")
    assert {row["strategy"]: row["realized_pnl"] for row in whole} == {"fast": D(40), None: D(7)}
    by_month = await moved.reports.pnl(by=("month", "strategy"))
    assert [(row["period"], row["strategy"], row["total"]) for row in by_month] == [
        ("2026-02", "slow", D(49)),
        ("2026-04", "fast", D(-11)),
        ("2026-05", None, D(5)),
    ]


async def test_any_reports_are_read_together(moved: EventStore):
    """Also of different ranges and portfolios."""
    head = await moved.log.head()
    since: Any = {"position": head, "from_": at(3)}
    of_two: Any = {"position": head, "portfolio": TWO}
    periods: Any = {"timezone": "UTC", "session_end": None}
    found = await answers(
        moved,
        Trades(of_two, limit=None, **NO_RATES),
        Fills(since, taken_back=False, limit=None),
        Pnl(of_two, Grouping.of("month", **periods, **NO_RATES)),
        Pnl(since, Grouping.of("symbol", **periods, **NO_RATES)),
        Turnover({}, Grouping.of("day", **periods, **NO_RATES)),
        Drawdown({}, every=None, **periods, **NO_RATES),
    )
    its = moved.reports
    wanted = [
        await its.trades(**of_two),
        await its.fills(**since),
        await its.pnl(by="month", **of_two),
        await its.pnl(by="symbol", **since),
        await its.turnover(),
        await its.drawdown(),
    ]
    assert [contents(one) for one in found] == [contents(one) for one in wanted]
    assert all(found)


class Taken:
    """Keeps the positions of the events that it is given."""

    def __init__(self, *types: type[Event], streams: Collection[UUID] | None = None) -> None:
        self.types, self.streams = types, streams
        self.positions: list[int] = []

    def take(self, part: RecordedEvent) -> None:
        """Keep one."""
        self.positions.append(part.position)


async def test_a_reader_takes_what_it_asks_for(moved: EventStore):
    """Its classes and streams and no others, in order, whatever is read beside it; of no streams, nothing."""
    fills = Taken(PositionOpened, PositionFilled)
    of_two = Taken(*Portfolio.event_classes(), streams=[TWO])
    nothing = Taken(*Position.event_classes(), streams=[])
    async with moment_of(moved, Question()) as moment:
        await moment.read(fills, of_two, nothing)
    events = [one async for one in moved.log.read_all()]
    assert fills.positions == [
        one.position for one in events if one.type in {"PositionOpened", "PositionFilled"}
    ]
    assert of_two.positions == [one.position for one in events if one.stream_id == TWO]
    assert (len(fills.positions), nothing.positions) == (2, [])


async def requests_of(relay: Relay, work: Any) -> int:
    """How many messages some work sends to the server, after its statements are prepared."""
    await work()
    before = relay.requests
    await work()
    return relay.requests - before


@pytest_asyncio.fixture
async def relayed(migrated_config: DatabaseConfig) -> AsyncIterator[tuple[Relay, EventStore]]:
    """A store behind what counts its messages."""
    if not migrated_config.host.startswith("/"):
        pytest.skip("the server is not reached through a socket")
    async with Relay(migrated_config) as relay:
        connection = await ConnectionFactory.create_connection(relay.config(min_pool_size=1, max_pool_size=1))
        try:
            yield relay, EventStore.of(connection)
        finally:
            await connection.close()


async def test_one_pass_serves_all_readers(relayed: tuple[Relay, EventStore]):
    """Executions, results and what else is read together send as many messages as one of them alone."""
    relay, store = relayed
    player = Player(store, FUTURES)
    for row in FUTURES.rows:
        await player.tell(row)
    question = Question(portfolio=player.portfolio_id)
    async with moment_of(store, question) as moment:

        def readers(number: int) -> list[Any]:
            return [Executions(), Results(question, lambda when: when), Executions()][:number]

        one = await requests_of(relay, lambda: moment.read(*readers(1)))
        assert await requests_of(relay, lambda: moment.read(*readers(3))) == one
        assert await requests_of(relay, moment.read) == 0
