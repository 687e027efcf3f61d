"""The contract of the portfolio repository; its snapshots have a module of their own."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

import pytest

from eventstore.domain import Portfolio
from eventstore.errors import EntityDeletedError, PortfolioNotFoundError
from tests.contract.databases import Database, a_portfolio, minute, save, types


class TestSaveAndLoad:
    """save_portfolio, save_many, update_portfolio, delete_portfolio, get_portfolio_by_id."""

    async def test_what_is_saved_is_loaded(self, tables: Database):
        """Another Unit of Work gets an equal portfolio, as an instance of its own."""
        portfolio = a_portfolio(
            cash_balance=Decimal("95000.00"), max_positions=5, max_leverage=Decimal("1.5"), strategy="mean"
        )
        portfolio.record_trade(
            "T-1", realized_pnl=Decimal("-12.5"), commission=Decimal(1), occurred_at=minute(1)
        )
        portfolio.deposit(Decimal(100), occurred_at=minute(2))
        await save(tables, portfolio)
        async with tables.unit_of_work() as uow:
            loaded = await uow.portfolios.get_portfolio_by_id(portfolio.id)
        assert loaded == portfolio
        assert loaded is not portfolio
        assert loaded is not None
        assert loaded.trade_ids == ("T-1",)

    async def test_the_constructor_makes_a_new_one(self, database: Database):
        """Its first save appends the creating event, its second nothing."""
        portfolio = a_portfolio()
        await save(database, portfolio)
        await save(database, portfolio)
        assert await types(database, portfolio.id) == ["PortfolioCreated"]

    async def test_save_many_and_update_return_the_instances(self, database: Database):
        """`save_portfolio`, `save_many` and `update_portfolio` return what they were given."""
        portfolio = a_portfolio()
        async with database.unit_of_work() as uow:
            assert await uow.portfolios.save_portfolio(portfolio) is portfolio
            assert await uow.portfolios.save_many([portfolio]) == [portfolio]
            portfolio.deposit(Decimal(1))
            assert await uow.portfolios.update_portfolio(portfolio) is portfolio
        assert await types(database, portfolio.id) == ["PortfolioCreated", "PortfolioCashMoved"]

    async def test_plain_assignments_are_kept(self, tables: Database):
        """All fields assigned between two saves become one event."""
        portfolio = a_portfolio()
        await save(tables, portfolio)
        portfolio.total_realized_pnl = Decimal("1250.00")
        portfolio.trades_count = 15
        portfolio.winning_trades = 10
        await save(tables, portfolio)
        async with tables.unit_of_work() as uow:
            loaded = await uow.portfolios.get_portfolio_by_id(portfolio.id)
        assert loaded is not None
        assert (str(loaded.total_realized_pnl), loaded.trades_count, loaded.winning_trades) == (
            "1250.00",
            15,
            10,
        )
        assert await types(tables, portfolio.id) == ["PortfolioCreated", "PortfolioAmended"]

    async def test_unknown_ids(self, database: Database):
        """`get_portfolio_by_id` gives None, `update_portfolio` raises, `delete_portfolio` gives False."""
        portfolio = a_portfolio()
        async with database.unit_of_work() as uow:
            assert await uow.portfolios.get_portfolio_by_id(uuid4()) is None
            assert await uow.portfolios.delete_portfolio(portfolio.id) is False
            with pytest.raises(PortfolioNotFoundError) as raised:
                await uow.portfolios.update_portfolio(portfolio)
        assert (raised.value.entity_id, raised.value.category) == (portfolio.id, "portfolio")

    async def test_delete(self, tables: Database):
        """The portfolio goes, its history stays, its id is not used again."""
        portfolio = a_portfolio()
        await save(tables, portfolio)
        async with tables.unit_of_work() as uow:
            assert await uow.portfolios.delete_portfolio(portfolio.id) is True
        await tables.catch_up()
        async with tables.unit_of_work() as uow:
            assert await uow.portfolios.get_portfolio_by_id(portfolio.id) is None
            assert await uow.portfolios.get_all_portfolios() == []
            assert await uow.portfolios.get_current_portfolio() is None
        with pytest.raises(EntityDeletedError):
            await save(tables, Portfolio(id=portfolio.id, name="Main", initial_capital=Decimal(1)))


class TestQueries:
    """By name, by strategy, the current one, all of them."""

    async def test_by_name(self, tables: Database):
        """Of several of a name, the one created last; a renamed one is found by its new name alone."""
        old, new = a_portfolio(0), a_portfolio(1)
        await save(tables, new, old)
        async with tables.unit_of_work() as uow:
            assert await uow.portfolios.get_portfolio_by_name("Main") == new
            assert await uow.portfolios.get_portfolio_by_name("main") is None
        new.name = "Second"
        async with tables.unit_of_work() as uow:
            await uow.portfolios.update_portfolio(new)
            assert await uow.portfolios.get_portfolio_by_name("Main") == old
        async with tables.unit_of_work() as uow:
            assert await uow.portfolios.get_portfolio_by_name("Main") == old
            assert await uow.portfolios.get_portfolio_by_name("Second") == new

    async def test_the_current_one(self, tables: Database):
        """It is the one created last, by its own time; None without a portfolio."""
        async with tables.unit_of_work() as uow:
            assert await uow.portfolios.get_current_portfolio() is None
        old, new = a_portfolio(0), a_portfolio(1, name="Other")
        await save(tables, new)
        await save(tables, old)
        async with tables.unit_of_work() as uow:
            assert await uow.portfolios.get_current_portfolio() == new
            unsaved = a_portfolio(2)
            await uow.portfolios.save_portfolio(unsaved)
            assert await uow.portfolios.get_current_portfolio() is unsaved

    async def test_all_and_by_strategy(self, tables: Database):
        """By creation; those of no strategy are in no strategy's list."""
        first, second, third = (
            a_portfolio(0),
            a_portfolio(1, strategy="mean"),
            a_portfolio(2, strategy="mean"),
        )
        await save(tables, third, first, second)
        async with tables.unit_of_work() as uow:
            assert await uow.portfolios.get_all_portfolios() == [first, second, third]
            assert await uow.portfolios.get_portfolios_by_strategy("mean") == [second, third]
            assert await uow.portfolios.get_portfolios_by_strategy("trend") == []

    async def test_pages(self, tables: Database):
        """`limit` and `after` give both lists piece by piece."""
        portfolios = [a_portfolio(number, strategy="mean") for number in range(5)]
        await save(tables, *portfolios)
        async with tables.unit_of_work() as uow:
            assert await uow.portfolios.get_all_portfolios(limit=2) == portfolios[:2]
            assert await uow.portfolios.get_all_portfolios(after=portfolios[1], limit=2) == portfolios[2:4]
            find = uow.portfolios.get_portfolios_by_strategy
            assert await find("mean", after=portfolios[3], limit=9) == portfolios[4:]
            assert await find("mean", after=portfolios[4]) == []
