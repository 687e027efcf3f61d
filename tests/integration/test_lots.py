"""The lots of stored positions, and the tax lots of a portfolio."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from eventstore.domain.lots import LotMethod, Lots
from eventstore.domain.order import OrderSide
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.errors import ConfigurationError, DomainError, PortfolioNotFoundError, PositionNotFoundError
from eventstore.log import StreamAppend
from eventstore.store import EventStore
from projections import PositionLotsProjection, ProjectionWorker
from projections.check import compare_with_fold

BUY, SELL = OrderSide.BUY, OrderSide.SELL


def at(month: int, day: int, year: int = 2026) -> datetime:
    """A day at noon."""
    return datetime(year, month, day, 12, 0, tzinfo=UTC)


def opened(portfolio: Portfolio | None = None, symbol: str = "AAPL", year: int = 2026, **more) -> Position:
    """A position of 100 at 10, bought in January."""
    return Position.open_position(
        symbol,
        Decimal(100),
        Decimal(10),
        Decimal(1),
        execution_id=f"{symbol}-b1",
        portfolio_id=None if portfolio is None else portfolio.id,
        occurred_at=at(1, 5, year),
        **more,
    )


async def saved(store: EventStore, *entities: Position | Portfolio) -> None:
    """Save some entities."""
    async with store.unit_of_work() as uow:
        for one in entities:
            if isinstance(one, Portfolio):
                await uow.portfolios.save_portfolio(one)
            else:
                await uow.positions.save_position(one)


def results(lots: Lots) -> list[tuple[Any, ...]]:
    """What was closed of which lot, and what that realised."""
    return [(match.lot.execution_id, match.quantity, match.realized_pnl) for match in lots.matches]


async def test_lots_are_folded_from_the_log(store):
    """The lots are those of the executions of the position, with its symbol, currency and multiplier."""
    position = opened(multiplier=Decimal(50), currency="USD")
    position.mark(Decimal(11), occurred_at=at(1, 6))
    position.apply_fill(BUY, Decimal(100), Decimal(14), "b2", occurred_at=at(2, 2))
    position.apply_fill(SELL, Decimal(150), Decimal(15), "s1", commission=Decimal(3), occurred_at=at(3, 2))
    await saved(store, position)

    fifo = await store.lots(position)
    lifo = await store.lots(position.id, method=LotMethod.LIFO)

    assert results(fifo) == [("AAPL-b1", 100, 25000), ("b2", 50, 2500)]
    assert results(lifo) == [("b2", 100, 5000), ("AAPL-b1", 50, 12500)]
    assert (fifo.matches[0].symbol, fifo.matches[0].currency) == ("AAPL", "USD")
    assert fifo.matches[0].closing_commission == 2
    assert [(lot.execution_id, lot.quantity, lot.cost) for lot in fifo.open] == [("b2", 50, 700)]


async def test_busts_and_corrections_are_folded_again(store):
    """A bust takes its execution out of the lots; a correction stands where the execution stood."""
    position = opened()
    position.apply_fill(BUY, Decimal(100), Decimal(14), "b2", occurred_at=at(2, 2))
    position.apply_fill(BUY, Decimal(100), Decimal(12), "b3", occurred_at=at(2, 3))
    position.apply_fill(SELL, Decimal(150), Decimal(15), "s1", occurred_at=at(3, 2))
    await saved(store, position)
    before = await store.log.head()
    position.bust_fill("b2", occurred_at=at(3, 3))
    position.correct_fill("AAPL-b1", price=Decimal(9), new_execution_id="b1-new", occurred_at=at(3, 4))
    await saved(store, position)

    assert results(await store.lots(position)) == [("b1-new", 100, 600), ("b3", 50, 150)]
    assert results(await store.lots(position, through=before)) == [("AAPL-b1", 100, 500), ("b2", 50, 50)]


async def test_a_late_report_and_a_split(store):
    """A purchase that is reported late is closed in its turn; after a split the lots are in new shares at the same cost."""
    position = opened()
    position.apply_fill(SELL, Decimal(50), Decimal(15), "s1", occurred_at=at(3, 2))
    position.apply_fill(BUY, Decimal(50), Decimal(8), "b0", occurred_at=at(1, 2))
    position.split(2, occurred_at=at(4, 1))
    position.apply_fill(SELL, Decimal(100), Decimal(7), "s2", occurred_at=at(5, 1))
    await saved(store, position)

    lots = await store.lots(position)

    assert results(lots) == [("b0", 50, 350), ("AAPL-b1", 100, 200)]
    assert [(lot.quantity, lot.price) for lot in lots.open] == [(100, 5)]
    assert lots.quantity == position.quantity


async def test_a_correction_after_a_split_is_in_the_shares_of_the_fill(store):
    """A fill from before a split is corrected in the shares of its time; lots and position agree."""
    position = opened()
    position.split(3, occurred_at=at(2, 1))
    position.correct_fill("AAPL-b1", quantity=Decimal(90), price=Decimal(12), occurred_at=at(2, 2))
    await saved(store, position)

    lots = await store.lots(position)

    assert [lots.quantity, lots.cost] == [position.quantity, position.cost] == [270, 1080]


async def test_an_adopted_position_is_one_lot(store):
    """What was adopted has no execution; an assignment takes the place of the lots."""
    position = Position(symbol="IBM", quantity=Decimal(30), cost=Decimal(100), opened_at=at(1, 2))
    position.apply_fill(SELL, Decimal(10), Decimal(5), "s1", occurred_at=at(2, 2))
    await saved(store, position)
    lots = await store.lots(position)
    assert [match.lot.execution_id for match in lots.matches] == [None]
    assert lots.cost + lots.matches[0].cost == 100
    assert lots.quantity == 20

    position.amend_to({"quantity": Decimal(5), "cost": Decimal(20)})
    await saved(store, position)
    after = await store.lots(position)
    assert (after.quantity, after.cost, after.matches) == (5, 20, lots.matches)


async def test_lots_are_chosen_by_id(store):
    """A choice is heeded; one that names no execution of the position is refused."""
    position = opened()
    position.apply_fill(BUY, Decimal(100), Decimal(14), "b2", occurred_at=at(2, 2))
    position.apply_fill(SELL, Decimal(50), Decimal(15), "s1", occurred_at=at(3, 2))
    await saved(store, position)

    lots = await store.lots(position, method=LotMethod.BY_ID, chosen={"s1": ["b2"]})
    assert results(lots) == [("b2", 50, 50)]
    with pytest.raises(DomainError, match="no position has an execution 'b3'"):
        await store.lots(position, method=LotMethod.BY_ID, chosen={"s1": ["b3"]})


async def test_lots_of_nothing_are_refused(store):
    """There are no lots of a position or a portfolio that does not exist."""
    with pytest.raises(PositionNotFoundError):
        await store.lots(uuid4())
    with pytest.raises(PortfolioNotFoundError):
        await store.tax_lots(uuid4())


async def test_a_tax_lot_report_has_the_closes_of_its_year(store):
    """It has the closes of all positions of the portfolio, deleted ones too, and sums them up by currency."""
    portfolio = Portfolio(name="desk", initial_capital=Decimal(10000))
    dollars = opened(portfolio, year=2025, currency="USD")
    dollars.apply_fill(SELL, Decimal(40), Decimal(11), "s1", occurred_at=at(12, 31, 2025))
    dollars.apply_fill(SELL, Decimal(60), Decimal(12), "s2", commission=Decimal(2), occurred_at=at(1, 2))
    euros = opened(portfolio, "SAP", currency="EUR")
    euros.apply_fill(SELL, Decimal(50), Decimal(9), "s3", occurred_at=at(6, 2))
    elsewhere = opened(None, "IBM")
    elsewhere.apply_fill(SELL, Decimal(100), Decimal(12), "s4", occurred_at=at(6, 2))
    await saved(store, portfolio, dollars, euros, elsewhere)
    async with store.unit_of_work() as uow:
        await uow.positions.delete_position(euros)

    report = await store.tax_lots(portfolio, year=2026)

    assert [(match.symbol, match.quantity, match.realized_pnl) for match in report] == [
        ("AAPL", 60, 120),
        ("SAP", 50, -50),
    ]
    assert report[0].commission == Decimal("2.6")
    assert [
        (total.currency, total.matches, total.proceeds, total.cost, total.realized_pnl, total.net_pnl)
        for total in report.totals
    ] == [
        ("EUR", 1, 450, 500, -50, Decimal("-50.5")),
        ("USD", 1, 720, 600, 120, Decimal("117.4")),
    ]
    assert [row["holding_days"] for row in report.rows()] == [362, 148]
    assert len(await store.tax_lots(portfolio.id)) == 3
    assert len(await store.tax_lots(portfolio, start=at(12, 31, 2025), end=at(1, 2))) == 1


async def test_a_wrong_year_is_refused(store):
    """A report is of a year or of a range that does not end before it starts."""
    for wrong in (
        {"year": 2026, "start": at(1, 1)},
        {"year": "2026"},
        {"year": 0},
        {"start": at(2, 1), "end": at(1, 1)},
    ):
        with pytest.raises(ConfigurationError):
            await store.tax_lots(uuid4(), **wrong)


async def test_the_projection_has_the_lots_of_the_log(store):
    """The row of a position has the open lots and results that `store.lots` gives, in any batches."""
    position = opened(currency="USD")
    position.mark(Decimal(11), occurred_at=at(1, 6))
    position.apply_fill(BUY, Decimal(100), Decimal(14), "b2", occurred_at=at(2, 2))
    position.apply_fill(SELL, Decimal(150), Decimal(15), "s1", occurred_at=at(3, 2))
    position.bust_fill("AAPL-b1", occurred_at=at(3, 3))
    deleted = opened(None, "IBM")
    projection = PositionLotsProjection()
    async with store.connection.acquire() as connection:
        await connection.execute(projection.table.create())
    for one in (position, deleted):
        await store.log.append(StreamAppend(one.id, one.version, one.pending_events))
    async with store.unit_of_work() as uow:
        await uow.positions.delete_position(deleted.id)
    worker = ProjectionWorker(store.log, projection, batch_events_max=2)
    while await worker.run_once():
        pass

    assert (await compare_with_fold(store.log, projection)).is_equal
    async with store.connection.acquire() as connection:
        (row,) = await connection.fetch("SELECT * FROM position_lots")
    lots = await store.lots(position.id, method=LotMethod.LIFO)
    assert (row["position_id"], row["symbol"], row["is_complete"], row["steps_count"]) == (
        position.id,
        "AAPL",
        True,
        3,
    )
    assert row["lifo_realized_pnl"] == lots.realized_pnl == 100
    assert row["fifo_realized_pnl"] == 100


async def test_a_row_of_many_executions_says_that_it_is_not_complete(store):
    """The row of a projection stays bounded: beyond its limit it has no lots, and the log still has them."""
    position = opened()
    for number in range(257):
        position.apply_fill(
            SELL if number % 2 else BUY, Decimal(1), Decimal(10), f"e{number}", occurred_at=at(2, 2)
        )
    projection = PositionLotsProjection()
    async with store.connection.acquire() as connection:
        await connection.execute(projection.table.create())
    await store.log.append(StreamAppend(position.id, position.version, position.pending_events))
    worker = ProjectionWorker(store.log, projection, batch_events_max=100)
    while await worker.run_once():
        pass

    async with store.connection.acquire() as connection:
        (row,) = await connection.fetch("SELECT * FROM position_lots")
    assert (row["is_complete"], row["steps_count"], row["fifo_realized_pnl"]) == (False, 258, None)
    assert (await store.lots(position.id)).quantity == 101
