"""The contract of a portfolio's summary and of its snapshots."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from eventstore.core.context import use_clock
from eventstore.domain import OrderSide, PortfolioSnapshot, settled_cash_flow
from eventstore.errors import ConfigurationError, DomainError, PortfolioNotFoundError
from tests.contract.databases import Database, a_portfolio, a_position, minute, save, types


class TestSummary:
    """get_portfolio_summary."""

    async def test_it_sums_over_the_open_positions(self, tables: Database):
        """Exposure without signs and with them, unrealised result, and counts; by the position's multiplier."""
        portfolio = a_portfolio()
        shares = a_position(1, portfolio_id=portfolio.id)
        shares.mark(Decimal("152.50"), occurred_at=minute(2))
        futures = a_position(1, quantity=-2, symbol="ES", multiplier=Decimal(50), portfolio_id=portfolio.id)
        futures.mark(Decimal("150.00"), occurred_at=minute(2))
        unmarked = a_position(1, quantity=10, symbol="MSFT", multiplier=Decimal(2), portfolio_id=portfolio.id)
        past = a_position(1, symbol="TSLA", portfolio_id=portfolio.id)
        past.close(Decimal(1), occurred_at=minute(3))
        foreign = a_position(1, portfolio_id=uuid4())
        await save(tables, portfolio, shares, futures, unmarked, past, foreign, a_position(1))
        async with tables.unit_of_work() as uow:
            summary = await uow.portfolios.get_portfolio_summary(portfolio.id)
            as_text: Any = str(portfolio.id)  # as it comes in a message or a URL
            asked_by_text = await uow.portfolios.get_portfolio_summary(as_text)
            [held] = await uow.positions.get_positions_by_symbol("ES")
            assert await uow.positions.get_position_by_symbol("ES", portfolio_id=as_text) is held
            snapshot = await uow.portfolios.create_portfolio_snapshot(as_text)
            assert await uow.portfolios.get_portfolio_history(as_text, datetime.min, datetime.max) == [
                snapshot
            ]
        assert summary is not None
        assert asked_by_text is not None
        assert asked_by_text.exposure == snapshot.exposure == summary.exposure
        assert summary.portfolio_id == portfolio.id
        assert summary.exposure == 15_250 + 15_000 + 3_010
        assert summary.net_exposure == 15_250 - 15_000 + 3_010
        assert summary.unrealized_pnl == 200 + 50
        assert (summary.open_positions, summary.unmarked_positions) == (3, 1)
        assert summary.leverage is not None
        assert round(summary.leverage, 6) == Decimal("0.331771")

    async def test_equity_of_shares_is_cash_and_market_value(self, tables: Database):
        """What was paid in full: cash + market value, at any moment."""
        portfolio = a_portfolio()
        position = a_position(1, portfolio_id=portfolio.id)
        buy, sell = OrderSide.BUY, OrderSide.SELL
        portfolio.record_trade(
            "T-1",
            commission=Decimal(1),
            cash_flow=settled_cash_flow(buy, Decimal(100), Decimal("150.50"), commission=Decimal(1)),
        )
        realized = position.reduce(Decimal(40), Decimal(155), Decimal("0.5"), occurred_at=minute(2))
        portfolio.record_trade(
            "T-2",
            realized_pnl=realized,
            commission=Decimal("0.5"),
            cash_flow=settled_cash_flow(sell, Decimal(40), Decimal(155), commission=Decimal("0.5")),
        )
        position.mark(Decimal("149.25"), occurred_at=minute(3))
        portfolio.withdraw(Decimal(1000))
        await save(tables, portfolio, position)
        async with tables.unit_of_work() as uow:
            summary = await uow.portfolios.get_portfolio_summary(portfolio.id)
        assert summary is not None
        assert position.market_value is not None
        assert summary.equity == portfolio.cash_balance + position.market_value
        assert summary.equity == 100_000 - 1_000 + summary.total_pnl

    async def test_equity_of_futures_is_cash_and_unrealised_result(self, tables: Database):
        """What is margined: cash + unrealised result, by the multiplier."""
        portfolio = a_portfolio()
        position = a_position(1, quantity=3, symbol="ES", multiplier=Decimal(50), portfolio_id=portfolio.id)
        portfolio.record_trade("T-1", commission=Decimal(6))
        realized = position.reduce(Decimal(1), Decimal("151.75"), Decimal(2), occurred_at=minute(2))
        portfolio.record_trade("T-2", realized_pnl=realized, commission=Decimal(2))
        position.mark(Decimal("149.25"), occurred_at=minute(3))
        portfolio.deposit(Decimal(500))
        await save(tables, portfolio, position)
        async with tables.unit_of_work() as uow:
            summary = await uow.portfolios.get_portfolio_summary(portfolio.id)
        assert summary is not None
        assert position.unrealized_pnl is not None
        assert summary.equity == portfolio.cash_balance + position.unrealized_pnl
        assert summary.total_pnl == realized + position.unrealized_pnl - 8

    async def test_performance(self, tables: Database):
        """Trades, win rate, profit factor and return; each None where it has no meaning."""
        portfolio = a_portfolio()
        async with tables.unit_of_work() as uow:
            await uow.portfolios.save_portfolio(portfolio)
            empty = await uow.portfolios.get_portfolio_summary(portfolio.id)
        assert empty is not None
        assert (empty.trades_count, empty.win_rate, empty.profit_factor) == (0, None, None)
        assert [empty.total_return, empty.exposure, empty.equity, empty.leverage] == [0, 0, 100_000, 0]
        for number, result in enumerate(["300", "-100", "0", "150"]):
            portfolio.record_trade(f"T-{number}", realized_pnl=Decimal(result), commission=Decimal("2.5"))
        await save(tables, portfolio)
        async with tables.unit_of_work() as uow:
            summary = await uow.portfolios.get_portfolio_summary(portfolio.id)
        assert summary is not None
        assert (summary.trades_count, summary.winning_trades, summary.losing_trades) == (4, 2, 1)
        assert (summary.win_rate, summary.profit_factor) == (Decimal("0.5"), Decimal("4.5"))
        assert (summary.net_realized_pnl, summary.realized_return) == (Decimal(340), Decimal("0.0034"))
        assert summary.total_return == Decimal("0.0034")

    async def test_without_capital_there_is_no_return(self, database: Database):
        """A return on nothing is None, and so is a leverage of nothing."""
        portfolio = a_portfolio()
        portfolio.initial_capital = portfolio.cash_balance = Decimal(0)
        await save(database, portfolio)
        async with database.unit_of_work() as uow:
            summary = await uow.portfolios.get_portfolio_summary(portfolio.id)
        assert summary is not None
        assert (summary.total_return, summary.realized_return, summary.leverage) == (None, None, None)

    async def test_an_unknown_portfolio(self, database: Database):
        """It has no summary."""
        async with database.unit_of_work() as uow:
            assert await uow.portfolios.get_portfolio_summary(uuid4()) is None

    async def test_it_sees_what_is_staged(self, tables: Database):
        """Positions of this Unit of Work count before they are committed."""
        portfolio = a_portfolio()
        async with tables.unit_of_work() as uow:
            await uow.portfolios.save_portfolio(portfolio)
            position = a_position(portfolio_id=portfolio.id)
            await uow.positions.save_position(position)
            position.mark(Decimal(151))
            summary = await uow.portfolios.get_portfolio_summary(portfolio.id)
            await uow.positions.update_position(position)
        assert summary is not None
        assert summary.unrealized_pnl == 50

    async def test_a_trade_between_its_reads_is_in_both_or_none(self, database: Database):
        """A commit that comes after the positions were read, and before the portfolio was, is seen in both."""
        portfolio = a_portfolio()
        position = a_position(portfolio_id=portfolio.id)
        position.mark(Decimal("150.50"), occurred_at=minute(1))
        await save(database, portfolio, position)
        interfered: list[bool] = []

        async with database.unit_of_work() as uow:
            storage = uow._session.storage
            find = storage.find

            async def find_early(*args: object, **options: object) -> object:
                found: object = await find(*args, **options)  # type: ignore[arg-type]
                if not interfered:
                    interfered.append(True)
                    async with database.unit_of_work() as other:
                        mine = await other.portfolios.get_portfolio_by_id(portfolio.id)
                        held = await other.positions.get_position_by_id(position.id)
                        assert mine is not None
                        assert held is not None
                        realized = held.close(Decimal(160), execution_id="E-1")
                        mine.record_trade("E-1", realized_pnl=realized)
                        await other.positions.update_position(held)
                        await other.portfolios.update_portfolio(mine)
                return found

            storage.find = find_early  # type: ignore[method-assign, assignment]
            try:
                summary = await uow.portfolios.get_portfolio_summary(portfolio.id)
            finally:
                del storage.find
        assert interfered
        assert summary is not None
        assert (summary.realized_pnl, summary.open_positions) == (Decimal(950), 0)


class TestSnapshots:
    """create_portfolio_snapshot and get_portfolio_history."""

    async def test_a_snapshot_is_the_summary_of_its_point_in_time(self, tables: Database):
        """It holds the sums of when it was taken; later trades do not change it."""
        portfolio = a_portfolio()
        position = a_position(portfolio_id=portfolio.id)
        position.mark(Decimal(151), occurred_at=minute(1))
        await save(tables, portfolio, position)
        async with tables.unit_of_work() as uow:
            summary = await uow.portfolios.get_portfolio_summary(portfolio.id)
            snapshot = await uow.portfolios.create_portfolio_snapshot(portfolio.id, occurred_at=minute(5))
        position.mark(Decimal(140), occurred_at=minute(6))
        await save(tables, position)
        async with tables.unit_of_work() as uow:
            (found,) = await uow.portfolios.get_portfolio_history(portfolio.id, minute(5), minute(5))
        assert found == snapshot
        assert summary is not None
        assert (found.equity, found.exposure) == (summary.equity, summary.exposure)
        assert (found.taken_at, found.unrealized_pnl) == (minute(5), Decimal(50))

    async def test_it_is_taken_at_the_contexts_time(self, database: Database):
        """Without `occurred_at` the clock of the context says when."""
        portfolio = a_portfolio()
        await save(database, portfolio)
        async with database.unit_of_work() as uow:
            with use_clock(lambda: minute(7)):
                snapshot = await uow.portfolios.create_portfolio_snapshot(portfolio.id)
        assert snapshot.taken_at == minute(7)

    async def test_history_is_in_order_and_inclusive(self, tables: Database):
        """The snapshots of this portfolio from start to end, both included, page by page."""
        portfolio, other = a_portfolio(), a_portfolio(1)
        await save(tables, portfolio, other)
        async with tables.unit_of_work() as uow:
            take = uow.portfolios.create_portfolio_snapshot
            snapshots = [await take(portfolio.id, occurred_at=minute(number)) for number in (3, 1, 2, 4)]
            await take(other.id, occurred_at=minute(2))
        await tables.catch_up()
        snapshots.sort(key=lambda snapshot: snapshot.taken_at)
        tick = timedelta(microseconds=1)
        async with tables.unit_of_work() as uow:
            history = uow.portfolios.get_portfolio_history
            assert await history(portfolio.id, minute(1), minute(4)) == snapshots
            assert await history(portfolio.id, minute(1) + tick, minute(4) - tick) == snapshots[1:3]
            assert await history(portfolio.id, minute(0), minute(9), limit=2) == snapshots[:2]
            assert await history(portfolio.id, minute(0), minute(9), after=snapshots[1]) == snapshots[2:]
            assert await history(uuid4(), minute(0), minute(9)) == []
            with pytest.raises(ConfigurationError, match="before it starts"):
                await history(portfolio.id, minute(1), minute(0))

    async def test_what_is_staged_is_in_the_history(self, tables: Database):
        """A snapshot of this Unit of Work is there at once, and gone after a roll-back."""
        portfolio = a_portfolio()
        await save(tables, portfolio)
        uow = tables.unit_of_work()
        await uow.begin_transaction()
        snapshot = await uow.portfolios.create_portfolio_snapshot(portfolio.id, occurred_at=minute(1))
        assert await uow.portfolios.get_portfolio_history(portfolio.id, minute(0), minute(2)) == [snapshot]
        await uow.rollback()
        async with uow:
            assert await uow.portfolios.get_portfolio_history(portfolio.id, minute(0), minute(2)) == []

    async def test_an_unknown_portfolio(self, database: Database):
        """A snapshot of it raises `PortfolioNotFoundError`."""
        unknown = uuid4()
        async with database.unit_of_work() as uow:
            with pytest.raises(PortfolioNotFoundError) as raised:
                await uow.portfolios.create_portfolio_snapshot(unknown)
        assert (raised.value.entity_id, raised.value.category) == (unknown, "portfolio")

    async def test_snapshots_outlive_their_portfolio(self, tables: Database):
        """The history of a deleted portfolio can be asked for."""
        portfolio = a_portfolio()
        await save(tables, portfolio)
        async with tables.unit_of_work() as uow:
            snapshot = await uow.portfolios.create_portfolio_snapshot(portfolio.id, occurred_at=minute(1))
            await uow.portfolios.delete_portfolio(portfolio.id)
        await tables.catch_up()
        async with tables.unit_of_work() as uow:
            assert await uow.portfolios.get_portfolio_history(portfolio.id, minute(0), minute(2)) == [
                snapshot
            ]

    async def test_a_snapshot_conflicts_with_no_trade(self, database: Database):
        """A trade that is committed while a snapshot is staged stops neither."""
        portfolio = a_portfolio()
        await save(database, portfolio)
        async with database.unit_of_work() as uow:
            snapshot = await uow.portfolios.create_portfolio_snapshot(portfolio.id)
            portfolio.record_trade("T-1", realized_pnl=Decimal(10))
            await save(database, portfolio)
        assert await types(database, snapshot.id) == ["PortfolioSnapshotTaken"]
        assert await types(database, portfolio.id) == ["PortfolioCreated", "PortfolioTradeRecorded"]

    async def test_a_snapshot_cannot_be_changed(self, database: Database):
        """No field of it can be assigned."""
        portfolio = a_portfolio()
        await save(database, portfolio)
        async with database.unit_of_work() as uow:
            snapshot = await uow.portfolios.create_portfolio_snapshot(portfolio.id)
            with pytest.raises(DomainError):
                snapshot.cash_balance = Decimal(0)  # type: ignore[misc]
            assert isinstance(snapshot, PortfolioSnapshot)
        assert await types(database, snapshot.id) == ["PortfolioSnapshotTaken"]
