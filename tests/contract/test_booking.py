"""One call books an execution: into the order, its position and its portfolio."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.domain import (
    ExecutionReport,
    Instrument,
    InstrumentKind,
    Order,
    OrderSide,
    Portfolio,
    Position,
    PositionMode,
    PositionSide,
    ReportKind,
    Settlement,
)
from eventstore.domain.executions import EXECUTIONS_KEPT_MAX
from eventstore.errors import DomainError, PortfolioNotFoundError, RepositoryError, TransactionError
from tests.contract.databases import Database, minute

if TYPE_CHECKING:
    from uuid import UUID

    from eventstore.repositories.booking import Booking

D = Decimal


@dataclass
class Books:
    """A portfolio in a database, and the orders that trade for it."""

    database: Database
    portfolio_id: UUID

    @classmethod
    async def begin(cls, database: Database, **details: Any) -> Books:
        """Save a portfolio."""
        portfolio = Portfolio(name="Main", initial_capital=D(100_000), created_at=minute(0), **details)
        async with database.unit_of_work() as uow:
            await uow.portfolios.save_portfolio(portfolio)
        return cls(database, portfolio.id)

    async def order(self, side: OrderSide, quantity: int, **details: Any) -> UUID:
        """Save an order."""
        order = Order.create_market_order(
            "AAPL", D(quantity), side, portfolio_id=self.portfolio_id, occurred_at=minute(1), **details
        )
        order.submit(f"B-{order.id}", occurred_at=minute(1))
        async with self.database.unit_of_work() as uow:
            await uow.orders.save_order(order)
        return order.id

    async def book(self, order_id: UUID, call: str, *args: Any, **details: Any) -> Booking:
        """Call a method of `uow.book` in a Unit of Work of its own, on an order that is loaded for it."""
        async with self.database.unit_of_work() as uow:
            order = await uow.orders.get_order_by_id(order_id)
            assert order is not None
            booking: Booking = await getattr(uow.book(order), call)(*args, **details)
        return booking

    async def fill(self, side: OrderSide, quantity: int, price: int, execution_id: str) -> Booking:
        """An order that one fill completes."""
        order_id = await self.order(side, quantity)
        return await self.book(order_id, "fill", D(quantity), D(price), execution_id, occurred_at=minute(2))

    async def portfolio(self) -> Portfolio:
        """The portfolio now."""
        async with self.database.unit_of_work() as uow:
            portfolio = await uow.portfolios.get_portfolio_by_id(self.portfolio_id)
        assert portfolio is not None
        return portfolio

    async def positions(self) -> list[Position]:
        """The positions now, in the order of opening."""
        async with self.database.unit_of_work() as uow:
            return list(await uow.positions.get_positions_by_portfolio(self.portfolio_id))

    async def state(self) -> tuple[Any, ...]:
        """Quantities, costs, results and cash now."""
        portfolio = await self.portfolio()
        return (
            sorted(
                (one.quantity, one.cost, one.realized_pnl) for one in await self.positions() if one.is_open
            ),
            sum((one.realized_pnl for one in await self.positions()), D(0)),
            portfolio.total_realized_pnl,
            portfolio.cash_balance,
            portfolio.total_commission_paid,
        )


class TestFill:
    """`uow.book(order).fill(...)`."""

    async def test_a_fill_opens_a_position_and_pays_for_it(self, tables: Database):
        """100 at 150 with 1 commission: 100 open, 100000 - 15000 - 1 in cash."""
        books = await Books.begin(tables)
        order_id = await books.order(OrderSide.BUY, 100, strategy="trend", account="A1", venue="XNAS")
        booking = await books.book(order_id, "fill", D(100), D(150), "E1", commission=D(1))
        [position] = await books.positions()
        assert booking.counted
        assert booking.realized_pnl is None
        assert [one.id for one in booking.positions] == [position.id]
        assert (position.quantity, position.cost, position.strategy, position.account) == (
            D(100),
            D(15_000),
            "trend",
            "A1",
        )
        assert (await books.portfolio()).cash_balance == D(84_999)
        async with tables.unit_of_work() as uow:
            order = await uow.orders.get_order_by_id(order_id)
        assert order is not None
        assert (order.status, order.executions[0].position_ids) == ("FILLED", (position.id,))

    async def test_on_margin_only_the_result_moves_the_cash(self, tables: Database):
        """Bought 2 at 100 and sold 2 at 110 with multiplier 50: 1000 more in cash, and a trade won."""
        books = await Books.begin(tables, settlement=Settlement.ON_MARGIN)
        bought = await books.order(OrderSide.BUY, 2, multiplier=D(50))
        sold = await books.order(OrderSide.SELL, 2, multiplier=D(50))
        await books.book(bought, "fill", D(2), D(100), "E1")
        assert (await books.portfolio()).cash_balance == D(100_000)
        booking = await books.book(sold, "fill", D(2), D(110), "E2")
        portfolio = await books.portfolio()
        assert booking.realized_pnl == 1000
        assert (portfolio.cash_balance, portfolio.winning_trades) == (D(101_000), 1)

    async def test_a_fill_through_zero_flips(self, tables: Database):
        """Long 100, sold 150: one closed, the other short 50; the commission is split by quantity."""
        books = await Books.begin(tables)
        await books.fill(OrderSide.BUY, 100, 150, "E1")
        order_id = await books.order(OrderSide.SELL, 150)
        booking = await books.book(order_id, "fill", D(150), D(160), "E2", commission=D(3))
        closed, opened = booking.positions
        assert booking.realized_pnl == 1000
        assert (closed.quantity, closed.commission_paid, closed.is_open) == (D(0), D(2), False)
        assert (opened.quantity, opened.commission_paid) == (D(-50), D(1))
        assert [one.quantity for one in await books.positions()] == [0, -50]
        assert (await books.portfolio()).cash_balance == D(100_000 - 15_000 + 24_000 - 3)

    async def test_a_repeat_changes_nothing(self, tables: Database):
        """The same report in the same Unit of Work, and in a later one, counts once."""
        books = await Books.begin(tables)
        order_id = await books.order(OrderSide.BUY, 100)
        async with tables.unit_of_work() as uow:
            order = await uow.orders.get_order_by_id(order_id)
            assert order is not None
            assert (await uow.book(order).fill(D(60), D(150), "E1")).counted
            assert not (await uow.book(order).fill(D(60), D(150), "E1")).counted
        before = await books.state()
        await tables.catch_up()
        assert not (await books.book(order_id, "fill", D(60), D(150), "E1")).counted
        assert await books.state() == before
        with pytest.raises(DomainError) as raised:
            await books.book(order_id, "fill", D(61), D(150), "E1")
        assert raised.value.rule == "order.execution_conflict"

    async def test_a_repeat_is_known_however_old_it_is(self, tables: Database):
        """With three times as many fills as the state holds, the first one is still known, and can be busted."""
        books = await Books.begin(tables)
        order_id = await books.order(OrderSide.BUY, 1_000)
        async with tables.unit_of_work() as uow:
            order = await uow.orders.get_order_by_id(order_id)
            assert order is not None
            for number in range(3 * EXECUTIONS_KEPT_MAX):
                await uow.book(order).fill(D(1), D(100 + number), f"E{number}")
        await tables.catch_up()
        before = await books.state()
        assert not (await books.book(order_id, "fill", D(1), D(100), "E0")).counted
        assert await books.state() == before
        assert (await books.book(order_id, "bust", "E0")).counted
        [position] = await books.positions()
        assert position.quantity == 3 * EXECUTIONS_KEPT_MAX - 1
        assert position.cost == sum(100 + number for number in range(1, 3 * EXECUTIONS_KEPT_MAX))

    async def test_one_id_on_two_orders_is_two_fills(self, tables: Database):
        """A venue numbers the trade, and the trade filled two of our orders."""
        books = await Books.begin(tables)
        await books.fill(OrderSide.BUY, 5, 100, "T1")
        await books.fill(OrderSide.BUY, 5, 100, "T1")
        [position] = await books.positions()
        assert position.quantity == 10
        assert (await books.portfolio()).cash_balance == D(99_000)

    async def test_a_fee_in_a_coin_is_taken_from_the_coin(self, tables: Database):
        """0.01 BNB of commission is no part of the dollars."""
        books = await Books.begin(tables, currency="USD")
        order_id = await books.order(OrderSide.BUY, 1, currency="USD")
        await books.book(
            order_id, "fill", D(1), D(100), "E1", commission=D("0.01"), commission_currency="BNB"
        )
        portfolio = await books.portfolio()
        assert (portfolio.cash_balance, portfolio.balance("BNB")) == (D(99_900), D("-0.01"))

    async def test_a_portfolio_that_hedges_has_a_position_for_each_side(self, tables: Database):
        """Buying for the short side reduces the short position and leaves the long one."""
        books = await Books.begin(tables, position_mode=PositionMode.HEDGING)
        for side, quantity, position_side in (
            (OrderSide.BUY, 5, PositionSide.LONG),
            (OrderSide.SELL, 3, PositionSide.SHORT),
            (OrderSide.BUY, 1, PositionSide.SHORT),
        ):
            order_id = await books.order(side, quantity, position_side=position_side)
            await books.book(order_id, "fill", D(quantity), D(100), f"E{quantity}{side}")
        assert sorted(one.quantity for one in await books.positions()) == [-2, 5]
        order_id = await books.order(OrderSide.BUY, 1)
        with pytest.raises(DomainError) as raised:
            await books.book(order_id, "fill", D(1), D(100), "E9")
        assert raised.value.rule == "order.position_side"

    async def test_what_raises_changes_nothing(self, tables: Database):
        """A multiplier that the open position does not have: neither order nor position nor portfolio has the fill."""
        books = await Books.begin(tables)
        await books.fill(OrderSide.BUY, 5, 100, "E1")
        before = await books.state()
        order_id = await books.order(OrderSide.SELL, 5, multiplier=D(50))
        async with tables.unit_of_work() as uow:
            order = await uow.orders.get_order_by_id(order_id)
            assert order is not None
            with pytest.raises(DomainError) as raised:
                await uow.book(order).fill(D(5), D(100), "E2")
            assert order.filled_quantity == 0
            assert not order.pending_events
        assert raised.value.rule == "position.instrument"
        assert await books.state() == before

    async def test_what_raises_is_not_remembered(self, tables: Database):
        """A booking that the portfolio refuses leaves the position's memory of old executions as it was."""
        books = await Books.begin(tables)
        order_id = await books.order(OrderSide.BUY, 1_000)
        async with tables.unit_of_work() as uow:
            order = await uow.orders.get_order_by_id(order_id)
            assert order is not None
            for number in range(EXECUTIONS_KEPT_MAX + 2):
                booking = await uow.book(order).fill(D(1), D(100), f"E{number}")
            [position] = booking.positions
            portfolio = booking.portfolio
            assert portfolio is not None
            portfolio.record_trade("E99", order_id=order_id, commission=D(7))  # what the booking contradicts
            with pytest.raises(DomainError) as raised:
                await uow.book(order).fill(D(1), D(100), "E99")
            assert raised.value.rule == "portfolio.trade_conflict"
            assert (await uow.book(order).bust("E0")).counted
            assert position.quantity == EXECUTIONS_KEPT_MAX + 1
            assert position.cost == 100 * (EXECUTIONS_KEPT_MAX + 1)
            await uow.portfolios.save_portfolio(portfolio)

    async def test_the_instrument_says_increments_and_settlement(self, tables: Database):
        """A price between two ticks is refused; a future moves the cash by its result alone."""
        books = await Books.begin(tables)
        future = Instrument(
            symbol="AAPL",
            kind=InstrumentKind.FUTURE,
            currency="USD",
            tick_size=D("0.25"),
            lot_size=D(1),
            created_at=minute(0),
        )
        order_id = await books.order(OrderSide.BUY, 2)
        async with tables.unit_of_work() as uow:
            order = await uow.orders.get_order_by_id(order_id)
            assert order is not None
            with pytest.raises(DomainError):
                await uow.book(order, instrument=future).fill(D(2), D("100.10"), "E1")
            await uow.book(order, instrument=future).fill(D(2), D("100.25"), "E1")
        assert (await books.portfolio()).cash_balance == D(100_000)

    async def test_an_unknown_portfolio_is_named(self, tables: Database):
        """An order of a portfolio that was never saved is refused."""
        books = Books(tables, Portfolio(name="Never", initial_capital=D(0)).id)
        order_id = await books.order(OrderSide.BUY, 5)
        with pytest.raises(PortfolioNotFoundError):
            await books.book(order_id, "fill", D(5), D(100), "E1")

    async def test_an_order_without_a_portfolio_has_a_position(self, tables: Database):
        """Only the order and the position change."""
        order = Order.create_market_order("AAPL", D(5), OrderSide.BUY)
        async with tables.unit_of_work() as uow:
            booking = await uow.book(order).fill(D(5), D(100), "E1")
        assert booking.portfolio is None
        async with tables.unit_of_work() as uow:
            found = await uow.positions.get_position_by_symbol("AAPL")
        assert found is not None
        assert found.quantity == 5


class TestBust:
    """`uow.book(order).bust(...)`: as if the execution had not been."""

    @pytest.mark.parametrize("busted", ["E1", "E2", "E3", "E4"])
    @pytest.mark.parametrize("settlement", list(Settlement))
    async def test_what_is_left_is_what_the_others_make(
        self, database: Database, busted: str, settlement: Settlement
    ):
        """Buy, buy, sell, sell through zero; without any one of them, all is as if only the others had been.

        Where that leaves two positions open, their sums are compared.
        """
        trades = {
            "E1": (OrderSide.BUY, 100, 10),
            "E2": (OrderSide.BUY, 100, 20),
            "E3": (OrderSide.SELL, 50, 30),
            "E4": (OrderSide.SELL, 200, 25),
        }
        books = await Books.begin(database, settlement=settlement)
        orders = {}
        for execution_id, (side, quantity, price) in trades.items():
            orders[execution_id] = (await books.fill(side, quantity, price, execution_id)).order.id
        booking = await books.book(orders[busted], "bust", busted, occurred_at=minute(9))
        assert booking.counted
        assert not (await books.book(orders[busted], "bust", busted)).counted
        left = {key: trade for key, trade in trades.items() if key != busted}
        quantity = sum(side.sign * size for side, size, _ in left.values())
        value = sum(side.sign * size * price for side, size, price in left.values())
        positions = await books.positions()
        assert sum(one.quantity for one in positions) == quantity
        cost = sum((one.cost for one in positions), D(0))
        realized = sum((one.realized_pnl for one in positions), D(0))
        assert realized == cost - value
        portfolio = await books.portfolio()
        assert portfolio.total_realized_pnl == realized
        paid = value if settlement is Settlement.IN_FULL else -realized
        assert portfolio.cash_balance == 100_000 - paid

    async def test_a_busted_close_opens_the_position_again(self, tables: Database):
        """The trade is neither won nor counted any more, and the cash is what it was."""
        books = await Books.begin(tables)
        await books.fill(OrderSide.BUY, 100, 10, "E1")
        before = await books.state()
        order_id = (await books.fill(OrderSide.SELL, 100, 12, "E2")).order.id
        assert (await books.portfolio()).winning_trades == 1
        booking = await books.book(order_id, "bust", "E2", reason="clearly erroneous")
        assert booking.realized_pnl == -200
        assert await books.state() == before
        portfolio = await books.portfolio()
        assert (portfolio.trades_count, portfolio.winning_trades, portfolio.gross_profit) == (0, 0, D(0))

    async def test_a_corrected_opening_changes_what_was_closed_since(self, tables: Database):
        """On margin, bought 2 at 100 and sold at 110; the purchase was at 90, under its own id: 40 won and not 20."""
        books = await Books.begin(tables, settlement=Settlement.ON_MARGIN)
        bought = await books.order(OrderSide.BUY, 2)
        await books.book(bought, "fill", D(2), D(100), "E1")
        await books.fill(OrderSide.SELL, 2, 110, "E2")
        assert (await books.book(bought, "correct", "E1", price=D(90))).realized_pnl == 20
        portfolio = await books.portfolio()
        assert (portfolio.total_realized_pnl, portfolio.cash_balance) == (D(40), D(100_040))
        assert not (await books.book(bought, "correct", "E1", price=D(90))).counted

    async def test_a_portfolio_that_nets_has_one_position_afterwards(self, tables: Database):
        """Sold 1, bought 6 through zero, bought 8; without the sale 14 are open at 1408, in one position.

        Bought 7 at 66 and sold 8 at 86: 688 - 1870 x 8 / 21 is realised.
        """
        books = await Books.begin(tables, settlement=Settlement.ON_MARGIN)
        sold = (await books.fill(OrderSide.SELL, 1, 69, "E1")).order.id
        await books.fill(OrderSide.BUY, 6, 116, "E2")
        await books.fill(OrderSide.BUY, 8, 89, "E3")
        await tables.catch_up()
        booking = await books.book(sold, "bust", "E1")
        [position] = [one for one in await books.positions() if one.is_open]
        assert (position.quantity, position.cost) == (D(14), D(1408))
        assert position.id in {one.id for one in booking.positions}
        await books.fill(OrderSide.BUY, 7, 66, "E4")
        await books.fill(OrderSide.SELL, 8, 86, "E5")
        realized = (await books.portfolio()).total_realized_pnl
        assert abs(realized - (688 - D(1870) * 8 / 21)) < D("1e-20")
        assert realized == sum(one.realized_pnl for one in await books.positions())

    async def test_a_side_of_a_portfolio_that_hedges_stays_one_position(self, tables: Database):
        """Long 10 at 1, closed at 3, the opening busted: the long side owes 10. Booked again, it is flat with 20 realised."""
        books = await Books.begin(tables, position_mode=PositionMode.HEDGING, settlement=Settlement.ON_MARGIN)
        long = {"position_side": PositionSide.LONG}
        opened = await books.order(OrderSide.BUY, 20, **long)
        closed = await books.order(OrderSide.SELL, 10, **long)
        short = await books.order(OrderSide.SELL, 5, position_side=PositionSide.SHORT)
        await books.book(opened, "fill", D(10), D(1), "E1")
        await books.book(closed, "fill", D(10), D(3), "E2")
        await books.book(opened, "bust", "E1")
        await tables.catch_up()
        await books.book(short, "fill", D(5), D(2), "E3")
        assert sorted(one.quantity for one in await books.positions()) == [-10, -5]
        await books.book(opened, "fill", D(10), D(1), "E4")
        assert sorted(one.quantity for one in await books.positions()) == [-5, 0]
        assert (await books.portfolio()).total_realized_pnl == 20

    async def test_a_fill_that_nobody_booked_is_named(self, tables: Database):
        """A fill by hand is taken back by hand."""
        order = Order.create_market_order("AAPL", D(5), OrderSide.BUY)
        order.fill(D(5), D(100), "E1")
        async with tables.unit_of_work() as uow:
            await uow.orders.save_order(order)
        async with tables.unit_of_work() as uow:
            with pytest.raises(DomainError) as raised:
                await uow.book(order).bust("E1")
        assert raised.value.rule == "order.not_booked"


class TestCorrect:
    """`uow.book(order).correct(...)`: as if the corrected execution had been."""

    @pytest.mark.parametrize("settlement", list(Settlement))
    @pytest.mark.parametrize(
        ("corrected", "quantity", "price"),
        [
            ("E1", None, 11),
            ("E1", 80, None),
            ("E3", None, 31),
            ("E4", None, 26),
            ("E4", 180, None),
            ("E4", 120, 24),
        ],
    )
    async def test_what_is_there_is_what_the_right_ones_make(
        self,
        database: Database,
        settlement: Settlement,
        corrected: str,
        quantity: int | None,
        price: int | None,
    ):
        """Quantities, cash and the sum of results are those of the right executions."""
        trades = {
            "E1": (OrderSide.BUY, 100, 10),
            "E2": (OrderSide.BUY, 100, 20),
            "E3": (OrderSide.SELL, 50, 30),
            "E4": (OrderSide.SELL, 200, 25),
        }
        books = await Books.begin(database, settlement=settlement)
        orders = {}
        for execution_id, (side, size, at) in trades.items():
            orders[execution_id] = (await books.fill(side, size, at, execution_id)).order.id
        call = {
            "quantity": None if quantity is None else D(quantity),
            "price": None if price is None else D(price),
            "new_execution_id": "C1",
        }
        assert (await books.book(orders[corrected], "correct", corrected, **call)).counted
        assert not (await books.book(orders[corrected], "correct", corrected, **call)).counted
        side, size, at = trades[corrected]
        trades[corrected] = (side, quantity or size, price or at)
        value = sum(side.sign * size * at for side, size, at in trades.values())
        positions = await books.positions()
        assert sum(one.quantity for one in positions) == sum(
            side.sign * size for side, size, _ in trades.values()
        )
        realized = sum((one.realized_pnl for one in positions), D(0))
        assert realized == sum((one.cost for one in positions), D(0)) - value
        portfolio = await books.portfolio()
        assert portfolio.total_realized_pnl == realized
        paid = value if settlement is Settlement.IN_FULL else -realized
        assert portfolio.cash_balance == 100_000 - paid


class TestReports:
    """`uow.book_reports(...)`: execution reports in any order."""

    async def test_the_order_of_arrival_does_not_matter(self, database: Database):
        """Four reports of two orders, in every order, and all of them again: the same books."""
        states = []
        for arrived in permutations(range(4)):
            books = await Books.begin(database)
            bought = await books.order(OrderSide.BUY, 10, client_order_id=f"C-{books.portfolio_id}")
            sold = await books.order(OrderSide.SELL, 15)
            reports = [
                ExecutionReport(
                    client_order_id=f"C-{books.portfolio_id}",
                    execution_id="E1",
                    quantity=D(10),
                    price=D(100),
                    occurred_at=minute(2),
                ),
                ExecutionReport(
                    order_id=sold, execution_id="E2", quantity=D(15), price=D(110), occurred_at=minute(3)
                ),
                ExecutionReport(
                    kind=ReportKind.BUST, order_id=bought, execution_id="E1", occurred_at=minute(4)
                ),
                ExecutionReport(
                    order_id=bought, execution_id="E3", quantity=D(10), price=D(99), occurred_at=minute(5)
                ),
            ]
            for again in (True, False):
                async with database.unit_of_work() as uow:
                    bookings = await uow.book_reports(reports[number] for number in arrived)
                assert [one.counted for one in bookings] == [again] * 4
            states.append(await books.state())
        assert all(state == states[0] for state in states)
        positions, realized, total, cash, _ = states[0]
        assert sum(quantity for quantity, _, _ in positions) == -5
        assert realized == total
        assert cash == 100_000 + 15 * 110 - 10 * 99

    async def test_a_batch_that_fails_is_not_committed_in_part(self, tables: Database):
        """The caller swallows the error: the commit is refused, and after a rollback nothing has changed."""
        books = await Books.begin(tables)
        order_id = await books.order(OrderSide.BUY, 10)
        reports = [
            ExecutionReport(
                order_id=order_id, execution_id="E1", quantity=D(3), price=D(100), occurred_at=minute(2)
            ),
            ExecutionReport(
                kind=ReportKind.BUST, order_id=order_id, execution_id="unknown", occurred_at=minute(3)
            ),
        ]
        before = await books.state()
        uow = tables.unit_of_work()
        await uow.begin_transaction()
        with pytest.raises(DomainError):
            await uow.book_reports(reports)
        with pytest.raises(TransactionError, match="roll back"):
            await uow.commit()
        await uow.rollback()
        assert await books.state() == before
        async with uow:
            assert [one.counted for one in await uow.book_reports(reports[:1])] == [True]

    async def test_a_report_of_an_unknown_order_is_named(self, tables: Database):
        """No order has the id."""
        report = ExecutionReport(client_order_id="C9", execution_id="E1", quantity=D(1), price=D(1))
        async with tables.unit_of_work() as uow:
            with pytest.raises(DomainError) as raised:
                await uow.book_reports([report])
        assert raised.value.rule == "report.order_id"

    async def test_a_report_names_its_order_once(self):
        """Neither none nor two ids."""
        with pytest.raises(DomainError):
            ExecutionReport(execution_id="E1", quantity=D(1), price=D(1))
        with pytest.raises(DomainError):
            ExecutionReport(
                execution_id="E1", quantity=D(1), price=D(1), client_order_id="C", broker_order_id="B"
            )


async def test_a_commission_in_the_portfolios_own_currency_leaves_its_cash(database: Database):
    """An order without a currency trades in the portfolio's: a commission in it is part of the cash flow, once."""
    for currency, cash in ((None, "98998.50"), ("USD", "98998.50"), ("EUR", "99998.50")):
        books = await Books.begin(database, currency="USD")
        order_id = await books.order(OrderSide.BUY, 10, currency=currency)
        await books.book(
            order_id, "fill", D(10), D(100), f"E-{currency}", commission=D("1.50"), commission_currency="USD"
        )
        portfolio = await books.portfolio()
        assert portfolio.cash_balance == D(cash), currency
        assert portfolio.total_commission_paid == D("1.50")


async def test_a_bust_after_a_fill_in_one_unit_of_work(tables: Database):
    """The portfolio holds its last trades only, and has counted one here: the log is asked for the old one."""
    books = await Books.begin(tables)
    order_id = await books.order(OrderSide.BUY, 100)
    for number in range(EXECUTIONS_KEPT_MAX + 2):
        await books.book(order_id, "fill", D(1), D(10), f"E-{number}")
    async with tables.unit_of_work() as uow:
        order = await uow.orders.get_order_by_id(order_id)
        assert order is not None
        await uow.book(order).fill(D(1), D(10), "E-NEW")
        assert (await uow.book(order).bust("E-0")).counted
        assert (await uow.book(order).correct("E-1", price=D(11))).counted
    portfolio = await books.portfolio()
    assert portfolio.cash_balance == 100_000 - (EXECUTIONS_KEPT_MAX + 1) * 10 - 11


async def test_a_bust_of_an_old_fill_whose_id_another_order_has_too(tables: Database):
    """Two orders, one id: what one order counts now says nothing of what the other counted long ago."""
    books = await Books.begin(tables)
    first, second = await books.order(OrderSide.BUY, 100), await books.order(OrderSide.BUY, 100)
    await books.book(first, "fill", D(3), D(10), "T")
    for number in range(EXECUTIONS_KEPT_MAX + 2):
        await books.book(first, "fill", D(1), D(10), f"E-{number}")
    async with tables.unit_of_work() as uow:
        old, new = await uow.orders.get_order_by_id(first), await uow.orders.get_order_by_id(second)
        assert old is not None
        assert new is not None
        await uow.book(new).fill(D(5), D(10), "T")
        booking = await uow.book(old).bust("T")
    assert booking.positions[0].quantity == EXECUTIONS_KEPT_MAX + 2 + 5
    assert (await books.portfolio()).cash_balance == 100_000 - (EXECUTIONS_KEPT_MAX + 2 + 5) * 10


async def test_a_flip_that_was_corrected_to_less_can_be_corrected_and_busted_again(tables: Database):
    """Long 100 at 10, sold 150 at 12, no, 80, no, 120, no, nothing: 100 are long at 10."""
    books = await Books.begin(tables)
    await books.fill(OrderSide.BUY, 100, 10, "E1")
    order_id = await books.order(OrderSide.SELL, 150)
    await books.book(order_id, "fill", D(150), D(12), "E2", occurred_at=minute(3))
    await books.book(order_id, "correct", "E2", quantity=D(80), new_execution_id="E3")
    assert (await books.state())[:3] == ([(D(20), D(200), D(160))], D(160), D(160))
    await books.book(order_id, "correct", "E3", quantity=D(120), new_execution_id="E4")
    assert (await books.state())[:3] == ([(D(-20), D(-240), D(200))], D(200), D(200))
    assert (await books.portfolio()).cash_balance == 100_000 - 1000 + 1440
    await books.book(order_id, "bust", "E4")
    assert (await books.state())[:3] == ([(D(100), D(1000), D(0))], D(0), D(0))
    assert (await books.portfolio()).cash_balance == 99_000


@pytest.mark.parametrize("is_order_split", [True, False])
async def test_a_correction_after_a_split_is_in_the_shares_of_the_time_of_the_fill(
    tables: Database, is_order_split: bool
):
    """100 at 700, split 7 for 1; no, at 701; no, 90: 630 are open, for 63090. The order may be done and not split."""
    books = await Books.begin(tables)
    order_id = await books.order(OrderSide.BUY, 100)
    await books.book(order_id, "fill", D(100), D(700), "E1", occurred_at=minute(2))
    async with tables.unit_of_work() as uow:
        order = await uow.orders.get_order_by_id(order_id)
        [position] = await uow.positions.get_positions_by_portfolio(books.portfolio_id)
        assert order is not None
        position.split(7, occurred_at=minute(3))
        await uow.positions.update_position(position)
        if is_order_split:
            order.split(7, occurred_at=minute(3))
            await uow.orders.update_order(order)
    shares = 7 if is_order_split else 1
    for details, quantity, cost in (({"price": D(701)}, 100, 70_100), ({"quantity": D(90)}, 90, 63_090)):
        for counted in (True, False):
            booking = await books.book(order_id, "correct", "E1", **details)
            assert booking.counted is counted
        [position] = await books.positions()
        assert (position.quantity, position.cost) == (D(quantity * 7), D(cost))
        assert (booking.order.filled_quantity, booking.order.filled_cost) == (D(quantity * shares), D(cost))
        assert (await books.portfolio()).cash_balance == 100_000 - cost
    await books.book(order_id, "bust", "E1")
    assert (await books.portfolio()).cash_balance == 100_000


async def test_an_inverse_contract_is_refused(tables: Database):
    """Its result is not quantity x difference of prices: 1000 contracts from 50000 to 62500 are 0.004 BTC."""
    books = await Books.begin(tables, currency="BTC")
    order_id = await books.order(OrderSide.BUY, 1000, currency="BTC")
    inverse = Instrument(
        symbol="AAPL", kind=InstrumentKind.PERPETUAL, currency="BTC", base="BTC", quote="USD", is_inverse=True
    )
    async with tables.unit_of_work() as uow:
        order = await uow.orders.get_order_by_id(order_id)
        assert order is not None
        with pytest.raises(DomainError) as raised:
            await uow.book(order, instrument=inverse).fill(D(1000), D(50_000), "E1")
        assert raised.value.rule == "instrument.is_inverse"
        assert (order.filled_quantity, len(order.pending_events)) == (D(0), 0)


async def test_a_fill_that_closes_needs_an_open_position_in_a_portfolio_that_hedges(tables: Database):
    """A sale of LONG opens no short position; a repeat of the fill that closed it stays a repeat."""
    books = await Books.begin(tables, position_mode=PositionMode.HEDGING)
    bought = await books.order(OrderSide.BUY, 10, position_side=PositionSide.LONG)
    sold = await books.order(OrderSide.SELL, 10, position_side=PositionSide.LONG)
    with pytest.raises(DomainError) as raised:
        await books.book(sold, "fill", D(10), D(2), "E2")
    assert raised.value.rule == "position.over_reduce"
    await books.book(bought, "fill", D(10), D(1), "E1")
    assert (await books.book(sold, "fill", D(10), D(2), "E2")).counted
    assert not (await books.book(sold, "fill", D(10), D(2), "E2")).counted


async def test_reports_count_after_the_end_and_beyond_the_quantity(tables: Database):
    """A report says what the venue did: 4 after the expiry; 14 of 10 only if the report says so."""
    books = await Books.begin(tables)
    order_id = await books.order(OrderSide.BUY, 10)
    async with tables.unit_of_work() as uow:
        order = await uow.orders.get_order_by_id(order_id)
        assert order is not None
        order.expire(occurred_at=minute(2))
        await uow.orders.update_order(order)
    late = ExecutionReport(
        order_id=order_id, execution_id="E1", quantity=D(4), price=D(10), occurred_at=minute(3)
    )
    too_much = late.model_copy(update={"execution_id": "E2", "quantity": D(8)})
    async with tables.unit_of_work() as uow:
        with pytest.raises(DomainError) as raised:
            await uow.book_reports([late, too_much])
        assert raised.value.rule == "order.overfill"
        await uow.rollback()
    async with tables.unit_of_work() as uow:
        [_, booking] = await uow.book_reports([late, too_much.model_copy(update={"allow_overfill": True})])
    assert (booking.order.filled_quantity, booking.order.overfilled_quantity) == (D(12), D(2))
    assert booking.order.was_filled_after_end


@pytest.mark.parametrize("is_by_hand", [True, False])
async def test_a_correction_under_the_same_id_of_a_trade_that_a_full_state_holds(
    tables: Database, is_by_hand: bool
):
    """The log has the id, since the trade has it: the commit does not take the correction for a repeat."""
    books = await Books.begin(tables)
    order_id = await books.order(OrderSide.BUY, 100)
    for number in range(EXECUTIONS_KEPT_MAX + 2):
        await books.book(order_id, "fill", D(1), D(10), f"E-{number}")
    latest = f"E-{EXECUTIONS_KEPT_MAX + 1}"
    if is_by_hand:
        portfolio = await books.portfolio()
        async with tables.unit_of_work() as uow:
            assert portfolio.correct_trade(latest, order_id=order_id, cash_flow=D(-12))
            await uow.portfolios.update_portfolio(portfolio)
    else:
        await books.book(order_id, "correct", latest, price=D(12))
    assert (await books.portfolio()).cash_balance == 100_000 - (EXECUTIONS_KEPT_MAX + 1) * 10 - 12


async def test_a_bust_from_before_the_correction_counts_at_the_correction(database: Database):
    """Fill at 2, corrected at 9, busted at 5: until 9 the fill counts, in all three; then nothing does."""
    books = await Books.begin(database)
    order_id = await books.order(OrderSide.BUY, 100)
    await books.book(order_id, "fill", D(10), D(5), "E1", occurred_at=minute(2))
    await books.book(order_id, "correct", "E1", price=D(9), occurred_at=minute(9))
    await books.book(order_id, "bust", "E1", occurred_at=minute(5))
    for now, quantity in ((4, 10), (6, 10), (9, 0)):
        async with database.as_of(occurred_at=minute(now)) as past:
            order = await past.orders.get_order_by_id(order_id)
            [position] = await past.positions.get_positions_by_portfolio(books.portfolio_id)
            portfolio = await past.portfolios.get_portfolio_by_id(books.portfolio_id)
        assert order is not None
        assert portfolio is not None
        assert (order.filled_quantity, position.quantity) == (D(quantity), D(quantity))
        assert portfolio.cash_balance == 100_000 - quantity * 5


async def test_a_bust_that_the_portfolio_refuses_leaves_the_later_position_as_it_was(tables: Database):
    """The bust opens a position again, which moves into the later one; then the portfolio does not know the trade as it is."""
    books = await Books.begin(tables)
    bought = await books.order(OrderSide.BUY, 100)
    await books.book(bought, "fill", D(100), D(10), "E1", occurred_at=minute(2))
    await books.fill(OrderSide.SELL, 150, 12, "E2")
    portfolio = await books.portfolio()
    async with tables.unit_of_work() as uow:
        portfolio.correct_trade("E1", new_trade_id="E9", order_id=bought, cash_flow=D(-1100))
        await uow.portfolios.update_portfolio(portfolio)
    async with tables.unit_of_work() as uow:
        positions = await uow.positions.get_positions_by_portfolio(books.portfolio_id)
        order = await uow.orders.get_order_by_id(bought)
        assert order is not None
        with pytest.raises(DomainError) as raised:
            await uow.book(order).bust("E1")
        assert raised.value.rule == "portfolio.execution_corrected"
        assert sorted(one.quantity for one in positions) == [D(-50), D(0)]
        assert not [one for one in (*positions, order) if one.pending_events]


@pytest.mark.parametrize(
    "details", [{"multiplier": D(5)}, {"currency": "EUR"}, {"symbol": "MSFT"}, {"multiplier": D(50)}]
)
async def test_an_order_says_what_its_instrument_says(tables: Database, details: dict[str, Any]):
    """Multiplier 50, in USD: an order of another multiplier, currency or symbol would be booked wrong."""
    books = await Books.begin(tables, currency="USD")
    order_id = await books.order(OrderSide.BUY, 10, multiplier=details.get("multiplier", D(1)))
    said = {"symbol": "AAPL", "multiplier": D(1), "currency": "USD"} | details
    instrument = Instrument(
        **said | ({"multiplier": D(50)} if "multiplier" in details else {}), kind=InstrumentKind.CFD
    )
    async with tables.unit_of_work() as uow:
        order = await uow.orders.get_order_by_id(order_id)
        assert order is not None
        book = uow.book(order, instrument=instrument)
        if details == {"multiplier": D(50)}:
            assert (await book.fill(D(10), D(100), "E1")).counted
            return
        with pytest.raises(DomainError) as raised:
            await book.fill(D(10), D(100), "E1")
        assert raised.value.rule == "order.instrument"
        assert not order.pending_events


async def test_an_order_that_is_older_than_its_position_is_refused_by_name(tables: Database):
    """Another Unit of Work booked the fill since the order was loaded: nothing is changed, and the error says what to do."""
    books = await Books.begin(tables)
    order_id = await books.order(OrderSide.BUY, 10)
    await books.book(order_id, "fill", D(1), D(10), "E1")
    async with tables.unit_of_work() as uow:
        old = await uow.orders.get_order_by_id(order_id)
        assert old is not None
    await books.book(order_id, "fill", D(1), D(10), "E2")
    async with tables.unit_of_work() as uow:
        with pytest.raises(DomainError) as raised:
            await uow.book(old).fill(D(1), D(10), "E2")
        assert raised.value.rule == "order.execution_repeated"
        assert not old.pending_events
    assert (await books.portfolio()).cash_balance == 99_980


@pytest.mark.parametrize("call", ["fill", "bust", "correct"])
async def test_what_cannot_be_saved_is_not_booked_in_part(database: Database, call: str):
    """Another instance of the order has changes: the portfolio and the position are not saved without the order either."""
    books = await Books.begin(database)
    order_id = await books.order(OrderSide.BUY, 100)
    await books.book(order_id, "fill", D(60), D(150), "E-1", occurred_at=minute(2))
    before = await books.portfolio()
    async with database.unit_of_work() as uow:
        stale = await uow.orders.get_order_by_id(order_id)
        assert stale is not None
    async with database.unit_of_work() as uow:
        order = await uow.orders.get_order_by_id(order_id)
        assert order is not None
        order.tags = ("changed",)
        await uow.orders.update_order(order)
        book = uow.book(stale)
        with pytest.raises(RepositoryError, match="two instances"):
            await {
                "fill": lambda: book.fill(D(40), D(150), "E-2", occurred_at=minute(3)),
                "bust": lambda: book.bust("E-1", occurred_at=minute(3)),
                "correct": lambda: book.correct("E-1", quantity=D(50), occurred_at=minute(3)),
            }[call]()
        assert (stale.filled_quantity, stale.has_unsaved_changes) == (D(60), False)
    after = await books.portfolio()
    assert (after.trades, after.cash_balance) == (before.trades, before.cash_balance)
    async with database.unit_of_work() as uow:
        order = await uow.orders.get_order_by_id(order_id)
        assert order is not None
        assert (order.filled_quantity, order.tags) == (D(60), ("changed",))
