"""The contract of the portfolio repository; its snapshots have a module of their own."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

import pytest

from eventstore.domain import (
    CashKind,
    CurrencyAmount,
    Portfolio,
    Position,
    PositionMode,
    Settlement,
)
from eventstore.domain.executions import EXECUTIONS_KEPT_MAX
from eventstore.errors import DomainError, EntityDeletedError, PortfolioNotFoundError
from tests.contract.databases import Database, a_portfolio, minute, save, types


class TestSaveAndLoad:
    """save_portfolio, save_many, update_portfolio, delete_portfolio, get_portfolio_by_id."""

    async def test_the_users_own_texts_are_kept(self, tables: Database):
        """`details` are given as a mapping and come back equal, from the log and from the table."""
        portfolio = Portfolio(name="Main", initial_capital=Decimal(1), details={"desk": "ü"})
        await save(tables, portfolio)
        for _ in range(2):
            async with tables.unit_of_work() as uow:
                [found] = await uow.portfolios.get_all_portfolios()
            assert found == portfolio
            assert dict(found.details) == {"desk": "ü"}
            await tables.catch_up()

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


class TestMoney:
    """Trades that the state no longer holds, transfers, and sums over currencies."""

    async def test_an_old_trade_is_not_counted_again(self, tables: Database):
        """The log is asked before the append: a repeat of any age is refused, and nothing is written."""
        portfolio = a_portfolio()
        for number in range(EXECUTIONS_KEPT_MAX + 2):
            portfolio.record_trade(f"T-{number}", realized_pnl=Decimal(1), occurred_at=minute(number))
            portfolio.record_cash(CashKind.FUNDING, Decimal(1), external_id=f"T-{number}")
        await save(tables, portfolio)
        for is_trade in (True, False):
            async with tables.unit_of_work() as uow:
                loaded = await uow.portfolios.get_portfolio_by_id(portfolio.id)
            assert loaded is not None
            if is_trade:
                assert loaded.record_trade("T-0", realized_pnl=Decimal(1))
            else:
                assert loaded.record_cash(CashKind.FUNDING, Decimal(1), external_id="T-0")
            with pytest.raises(DomainError) as refusal:
                await save(tables, loaded)
            assert refusal.value.rule == "portfolio.execution_repeated"
        async with tables.unit_of_work() as uow:
            loaded = await uow.portfolios.get_portfolio_by_id(portfolio.id)
            assert loaded is not None
            assert loaded == portfolio
            # Another kind, or another order, is another one.
            assert loaded.record_cash(CashKind.INTEREST, Decimal(1), external_id="T-0")
            assert loaded.record_trade("T-0", realized_pnl=Decimal(1), order_id=uuid4())
            assert not loaded.record_trade(f"T-{EXECUTIONS_KEPT_MAX}", realized_pnl=Decimal(1))
            await uow.portfolios.save_portfolio(loaded)
        assert loaded.trades_count == EXECUTIONS_KEPT_MAX + 3

    async def test_a_transfer_is_of_both_or_of_none(self, tables: Database):
        """One Unit of Work has both sides."""
        one, other = a_portfolio(0), a_portfolio(1, name="Other")
        await save(tables, one, other)
        one.transfer_to(other, Decimal("300.50"), external_id="X", occurred_at=minute(2))
        await save(tables, one, other)
        async with tables.unit_of_work() as uow:
            found = await uow.portfolios.get_all_portfolios()
        assert [portfolio.cash_balance for portfolio in found] == [Decimal("99699.50"), Decimal("100300.50")]
        assert found == [one, other]

    async def test_every_field_is_kept(self, tables: Database):
        """Currencies, movements, busted and corrected trades come back from every way of reading."""
        portfolio = a_portfolio(
            currency="USD",
            other_balances=(CurrencyAmount(currency="EUR", amount=Decimal("12.50")),),
            position_mode=PositionMode.HEDGING,
            settlement=Settlement.ON_MARGIN,
            may_go_below_zero=True,
        )
        portfolio.record_trade(
            "E-1",
            realized_pnl=Decimal("2.50"),
            commission=Decimal("0.01"),
            commission_currency="BNB",
            order_id=uuid4(),
            account="U1",
            venue="BINANCE",
            symbol="BTCUSDT",
            transact_time_ns=1_709_303_400_123_456_789,
        )
        portfolio.record_trade("E-2", realized_pnl=Decimal(-1), currency="EUR")
        portfolio.correct_trade("E-2", new_trade_id="E-3", realized_pnl=Decimal(-2))
        portfolio.bust_trade("E-3")
        portfolio.record_cash(CashKind.DIVIDEND, Decimal(3), currency="EUR", symbol="SAP", external_id="D")
        portfolio.convert("EUR", Decimal(5), "USD", Decimal("5.50"))
        await save(tables, portfolio)
        async with tables.unit_of_work() as uow:
            assert await uow.portfolios.get_portfolio_by_id(portfolio.id) == portfolio
            [listed] = await uow.portfolios.get_all_portfolios()
            assert listed == portfolio
        async with tables.as_of(occurred_at=minute(10_000_000)) as past:
            assert await past.portfolios.get_portfolio_by_id(portfolio.id) == portfolio

    async def test_other_currencies_need_rates(self, tables: Database):
        """Without a rate no sum is made; with rates the snapshot keeps them."""
        portfolio = a_portfolio(currency="USD")
        portfolio.convert("USD", Decimal(1_100), "EUR", Decimal(1_000), occurred_at=minute(1))
        portfolio.record_cash(CashKind.DIVIDEND, Decimal(10), currency="EUR", occurred_at=minute(1))
        position = Position.open_position(
            "SAP",
            Decimal(10),
            Decimal(100),
            currency="EUR",
            portfolio_id=portfolio.id,
            occurred_at=minute(1),
        )
        position.mark(Decimal(110), occurred_at=minute(2))
        portfolio.record_trade(
            "E-1", cash_flow=Decimal(-1_000), currency="EUR", symbol="SAP", occurred_at=minute(1)
        )
        await save(tables, portfolio, position)
        rates = {"EUR": Decimal("1.20")}
        async with tables.unit_of_work() as uow:
            for lacking in ({}, {"GBP": Decimal(1)}, None):
                with pytest.raises(DomainError, match="EUR") as refusal:
                    await uow.portfolios.get_portfolio_summary(portfolio.id, rates=lacking)
                assert refusal.value.rule == "money.rate"
            with pytest.raises(DomainError) as refusal:
                await uow.portfolios.create_portfolio_snapshot(portfolio.id, rates={"EUR": 1.2})  # type: ignore[dict-item]
            assert refusal.value.rule == "money.rate"
            snapshot = await uow.portfolios.create_portfolio_snapshot(portfolio.id, rates=rates)
            summary = await uow.portfolios.get_portfolio_summary(portfolio, rates=rates)
        assert summary is not None
        for sums in (snapshot, summary):
            assert sums.currency == "USD"
            assert sums.rates == (CurrencyAmount(currency="EUR", amount=Decimal("1.20")),)
            # 98,900 dollars, 10 euros of cash, and shares of 1,100 euros.
            assert sums.equity == Decimal(98_900) + Decimal("1.20") * (10 + 1_100)
            assert (sums.cash_balance, sums.exposure) == (Decimal(98_912), Decimal(1_320))
            assert (sums.unrealized_pnl, sums.income, sums.conversion_pnl) == (
                Decimal(120),
                Decimal(12),
                Decimal(100),
            )
        async with tables.unit_of_work() as uow:
            [kept] = await uow.portfolios.get_portfolio_history(portfolio, minute(0), snapshot.taken_at)
        assert kept == snapshot


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
