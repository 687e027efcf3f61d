"""Fresh reads with no worker at all: rows, tails, limits, and the error where the tail is too long."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.domain.order import Order, OrderSide, OrderStatus
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.errors import EventStoreError, ProjectionLagError
from eventstore.repositories import storage
from projections import (
    OrdersProjection,
    PortfoliosProjection,
    PositionsProjection,
    Projection,
    ProjectionWorker,
)

if TYPE_CHECKING:
    from eventstore.store import EventStore

D = Decimal


def new_order(symbol: str = "ES") -> Order:
    """A new order."""
    return Order.create_market_order(symbol, D(10), OrderSide.BUY)


async def fold_all(store: EventStore) -> None:
    """Bring every table up to date."""
    projections: list[Projection[Any]] = [OrdersProjection(), PositionsProjection(), PortfoliosProjection()]
    for projection in projections:
        worker = ProjectionWorker(store.log, projection)
        while await worker.run_once():
            pass


async def test_a_read_sees_what_was_committed_before_it(store: EventStore):
    """No worker has ever run: every read finds the newest state; the table alone has nothing."""
    order = new_order()
    position = Position.open_position("ES", D(-3), D("10.5"), D(1), strategy="s")
    portfolio = Portfolio(name="main", initial_capital=D(100), strategy="s")
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)
        await uow.positions.save_position(position)
        await uow.portfolios.save_portfolio(portfolio)
    async with store.unit_of_work() as uow:
        assert await uow.orders.get_orders_by_symbol("ES") == [order]
        assert await uow.positions.get_active_positions() == [position]
        assert await uow.positions.get_position_by_symbol("ES", strategy="s") == position
        assert await uow.positions.get_position_by_symbol("ES", strategy="t") is None
        assert await uow.portfolios.get_current_portfolio() == portfolio
        assert await uow.portfolios.get_portfolio_by_name("main") == portfolio
        for call in (
            uow.orders.get_active_orders,
            uow.positions.get_active_positions,
            uow.portfolios.get_all_portfolios,
        ):
            assert await call(consistency="eventual", limit=1) == []
    async with store.unit_of_work() as uow:
        assert await uow.orders.get_active_orders(consistency="eventual") == []
    await fold_all(store)
    async with store.unit_of_work() as uow:
        assert await uow.orders.get_active_orders(consistency="eventual") == [order]
        assert await uow.positions.close_position(position.id, D(11))
        assert await uow.positions.close_position(position.id, D(11)) is False
    async with store.unit_of_work() as uow:
        closed = await uow.positions.get_closed_positions()
        assert [one.id for one in closed] == [position.id]
        assert closed[0].realized_pnl == D("-1.5")
        assert await uow.positions.get_active_positions() == []
    async with store.unit_of_work() as uow:
        assert [p.id for p in await uow.positions.get_active_positions(consistency="eventual")] == [
            position.id
        ]


async def test_a_row_that_no_longer_matches_leaves_room_for_those_that_do(store: EventStore):
    """The first rows of a page have changed since they were folded: the page is full all the same, and in order."""
    orders = [new_order() for _ in range(12)]
    async with store.unit_of_work() as uow:
        await uow.orders.save_many(orders)
    await fold_all(store)
    async with store.unit_of_work() as uow:
        for order in orders[:7]:
            order.cancel()
        await uow.orders.save_many(orders[:7])
    for limit in (1, 3, 5, 20):
        async with store.unit_of_work() as uow:
            assert await uow.orders.get_active_orders(limit=limit) == orders[7:][:limit]
            assert await uow.orders.get_active_orders(limit=limit, after=orders[8]) == orders[9:][:limit]
            assert (
                await uow.orders.get_orders_by_status(OrderStatus.CANCELLED, limit=limit)
                == orders[:7][:limit]
            )


@pytest.mark.parametrize("folded", [0, 3])
async def test_the_limit_of_a_tail_counts_each_event_once(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, folded: int
):
    """Up to the limit a list is corrected, also where its rows match by themselves; beyond it the error says why."""
    monkeypatch.setattr(storage, "TAIL_EVENTS_MAX", 6)
    orders = [new_order() for _ in range(3)]
    async with store.unit_of_work() as uow:
        await uow.orders.save_many(orders[:folded])
    await fold_all(store)
    async with store.unit_of_work() as uow:
        await uow.orders.save_many(orders[folded:])
        for order in orders:
            order.submit("B")
            if folded:
                order.tags = ("x",)
        await uow.orders.save_many(orders)
    async with store.unit_of_work() as uow:
        assert await uow.orders.get_orders_by_symbol("ES") == orders  # six events
        orders[0].cancel()
        await uow.orders.save_order(orders[0])
    async with store.unit_of_work() as uow:
        with pytest.raises(ProjectionLagError) as caught:
            await uow.orders.get_orders_by_symbol("ES")
        assert (caught.value.projection, caught.value.lag_events_max) == ("orders", 6)
        assert caught.value.lag_events == 7
        assert await uow.orders.get_order_by_id(orders[0].id) == orders[0]
        assert len(await uow.orders.get_orders_by_symbol("ES", consistency="eventual")) >= folded
        assert await uow.positions.get_active_positions() == []


async def test_a_lag_names_its_cause(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """No worker has run; one has stopped; an open transaction with appended events stands before the reader."""
    monkeypatch.setattr(storage, "TAIL_EVENTS_MAX", 0)

    async def cause() -> str:
        async with store.unit_of_work() as uow:
            with pytest.raises(ProjectionLagError) as caught:
                await uow.orders.get_active_orders()
        return str(caught.value)

    async with store.unit_of_work() as uow:
        await uow.orders.save_order(new_order())
    assert "no worker has ever run" in await cause()
    await fold_all(store)
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(new_order())
    assert "a worker runs" in await cause()
    async with store.connection.acquire() as connection:
        await connection.execute(
            "UPDATE projection_checkpoints SET moved_at = moved_at - interval '1 minute'"
        )
    assert "has not moved for 6" in await cause()
    async with store.connection.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE events IN ROW EXCLUSIVE MODE")
        await connection.execute("SELECT pg_sleep(1.1)")
        pid = connection.get_server_pid()
        assert f"the backend {pid} " in await cause()


@pytest.mark.parametrize("text", ["\x00", "a\x00", "\ud800"], ids=ascii)
async def test_a_question_with_text_that_cannot_be_stored_has_no_answer(store: EventStore, text: str):
    """It is an error of the library or an empty answer; whether the tail names a row or not makes no difference."""
    outcomes: list[object] = []
    for folded in (False, True):
        if folded:
            await fold_all(store)
        else:
            async with store.unit_of_work() as uow:
                await uow.orders.save_order(new_order())
        async with store.unit_of_work() as uow:
            for call in (uow.orders.get_orders_by_symbol, uow.positions.get_positions_by_strategy):
                try:
                    outcomes.append(await call(text))
                except EventStoreError as error:
                    outcomes.append(type(error))
    assert len(set(map(str, outcomes))) == 1


async def test_none_is_no_wildcard_and_no_match(store: EventStore):
    """A None where text is asked for is never answered with the rows that have none, from the tail or the table."""
    position = Position.open_position("ES", D(1), D(1), D(0))
    order = new_order()
    async with store.unit_of_work() as uow:
        await uow.positions.save_position(position)
        await uow.orders.save_order(order)
    answers: list[Any] = []
    for folded in (False, True):
        if folded:
            await fold_all(store)
        async with store.unit_of_work() as uow:
            for call in (
                uow.positions.get_positions_by_strategy,
                uow.positions.get_positions_by_portfolio,
                uow.orders.get_orders_by_broker_id,
            ):
                try:
                    answers.append(await call(None))  # type: ignore[arg-type]
                except EventStoreError:
                    answers.append([])
    assert answers == [[]] * 6


async def test_arguments_that_make_no_sense_are_refused(store: EventStore):
    """A negative limit, another word for the consistency, a range that ends before it starts."""
    async with store.unit_of_work() as uow:
        with pytest.raises(EventStoreError):
            await uow.orders.get_active_orders(limit=-1)
        with pytest.raises(EventStoreError):
            await uow.orders.get_active_orders(consistency="stale")  # type: ignore[arg-type]
        order = new_order()
        with pytest.raises(EventStoreError):
            await uow.orders.get_orders_by_date_range(order.created_at, order.created_at.replace(year=2000))
