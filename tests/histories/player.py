"""Tells a store what a history says, one report in one Unit of Work, as a robot does that receives the reports."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID, uuid4

from eventstore.domain.execution_report import ExecutionReport, ReportKind
from eventstore.domain.executions import Liquidity, OrderSide
from eventstore.domain.money import Settlement
from eventstore.domain.order import Order
from eventstore.domain.portfolio import CashKind, Portfolio
from eventstore.errors import DomainError
from eventstore.repositories.booking import Book
from eventstore.repositories.unit_of_work import PostgreSQLUnitOfWork
from eventstore.store import EventStore
from tests.histories.by_hand import HandBook
from tests.histories.history import History, Row

OURS = {"open", "order"}
"""What we did ourselves; everything else was reported to us."""
REPORTS = {"fill", "bust", "correct"}
"""What a venue reports of executions."""
ACCOUNT = "A-1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Player:
    """Tells rows of a history to a store.

    Args:
        store: The store.
        history: The history.
        portfolio_id: The id of its portfolio; a new one unless given.
        order_ids: The ids of its orders by their names; new ones unless given.
        is_any_order: Whether the rows come in any order, so that cash is spent before we hear that it came, and an order is
            filled again before we hear that a fill was busted.
        is_by_hand: Whether executions are booked by the methods of the three entities instead of `uow.book`.
    """

    def __init__(
        self,
        store: EventStore,
        history: History,
        *,
        portfolio_id: UUID | None = None,
        order_ids: dict[str, UUID] | None = None,
        is_any_order: bool = False,
        is_by_hand: bool = False,
    ) -> None:
        self.store = store
        self.history = history
        self.portfolio_id = uuid4() if portfolio_id is None else portfolio_id
        self.order_ids = {} if order_ids is None else order_ids
        self.is_any_order = is_any_order
        self.is_by_hand = is_by_hand

    def at(self, store: EventStore) -> Player:
        """One that tells the same account to another store, such as that of a process that starts anew."""
        return Player(
            store,
            self.history,
            portfolio_id=self.portfolio_id,
            order_ids=self.order_ids,
            is_any_order=self.is_any_order,
        )

    async def play(self, rows: Iterable[Row]) -> list[Row]:
        """Tell rows, and return those that counted."""
        return [row for row in rows if await self.tell(row)]

    async def play_shuffled(self, random: Random) -> int:
        """Tell all rows, the reports in any order and some twice, and return how many of them did not count.

        What we did ourselves comes first, marks come last, and what happened before a split is told before it. A bust or
        a correction whose fill was not told yet is told again later.
        """
        rows = self.history.rows
        await self.play(row for row in rows if row.kind in OURS)
        repeated = 0
        for part in _parts(rows):
            waiting = [row for row in part if row.kind not in OURS | {"mark"}]
            waiting += random.sample(waiting, len(waiting) // 3)
            random.shuffle(waiting)
            while waiting:
                row = waiting.pop(0)
                try:
                    repeated += not await self.tell(row)
                except DomainError as error:
                    if error.rule != "order.unknown_execution":
                        raise
                    waiting.append(row)
        await self.play(row for row in rows if row.kind == "mark")
        return repeated

    async def play_batches(self, random: Random) -> None:
        """Tell all rows, the execution reports between two splits as one batch, in any order and some twice."""
        rows = self.history.rows
        await self.play(row for row in rows if row.kind in OURS)
        for part in _parts(rows):
            await self.play(row for row in part if row.kind not in OURS | REPORTS | {"mark"})
            batch = [self._as_report(row) for row in part if row.kind in REPORTS]
            batch += random.sample(batch, len(batch) // 3)
            random.shuffle(batch)
            async with self.store.unit_of_work() as uow:
                await uow.book_reports(batch)
        await self.play(row for row in rows if row.kind == "mark")

    def _as_report(self, row: Row) -> ExecutionReport:
        """One row, as a venue reports it: the order by the id that the venue gave it."""
        return ExecutionReport(
            kind=ReportKind(row.kind.upper()),
            execution_id=row.id,
            replaces=row.corrects,
            broker_order_id=f"V-{row.order}",
            quantity=row.quantity,
            price=row.price,
            commission=row.fee,
            commission_currency=row.fee_currency,
            transact_time_ns=nanoseconds(row.time),
        )

    async def tell(self, row: Row) -> bool:
        """Tell one row, and return whether it counted."""
        async with self.store.unit_of_work() as uow:
            match row.kind:
                case "open":
                    return await self._open(uow, row)
                case "order":
                    return await self._order(uow, row)
                case "fill" | "bust" | "correct":
                    return await self._report(uow, row)
                case "cancel":
                    return await self._cancel(uow, row)
                case "mark" | "split":
                    return await self._value(uow, row)
            return await self._move(uow, row)

    async def _open(self, uow: PostgreSQLUnitOfWork, row: Row) -> bool:
        on_margin = all(one.on_margin for one in self.history.instruments.values())
        portfolio = Portfolio(
            id=self.portfolio_id,
            name=self.history.name,
            currency=row.currency,
            initial_capital=row.amount,
            settlement=Settlement.ON_MARGIN if on_margin else Settlement.IN_FULL,
            may_go_below_zero=on_margin or self.is_any_order,
            created_at=row.time,
        )
        await uow.portfolios.save_portfolio(portfolio)
        return True

    async def _order(self, uow: PostgreSQLUnitOfWork, row: Row) -> bool:
        assert row.id is not None
        assert row.symbol is not None
        assert row.side is not None
        traded = self.history.instruments[row.symbol]
        self.order_ids[row.id] = uuid4()
        given: dict[str, Any] = {
            "id": self.order_ids[row.id],
            "portfolio_id": self.portfolio_id,
            "account": ACCOUNT,
            "venue": self.history.venue,
            "currency": traded.currency,
            "multiplier": Decimal(traded.multiplier),
            "occurred_at": row.time,
        }
        side = OrderSide(row.side)
        if row.price is None:
            order = Order.create_market_order(row.symbol, row.quantity, side, **given)
        else:
            order = Order.create_limit_order(row.symbol, row.quantity, side, limit_price=row.price, **given)
        order.submit(f"V-{row.id}", occurred_at=row.time)
        await uow.orders.save_order(order)
        return True

    async def _report(self, uow: PostgreSQLUnitOfWork, row: Row) -> bool:
        assert row.order is not None
        assert row.id is not None
        order = await uow.orders.get_order_by_id(self.order_ids[row.order])
        assert order is not None
        book: Book | HandBook = HandBook(uow, order) if self.is_by_hand else uow.book(order)
        if row.kind == "bust":
            return (await book.bust(row.id, occurred_at=row.time)).counted
        assert row.quantity is not None
        assert row.price is not None
        assert row.fee is not None
        if row.kind == "correct":
            assert row.corrects is not None
            booking = await book.correct(
                row.corrects,
                quantity=row.quantity,
                price=row.price,
                commission=row.fee,
                new_execution_id=row.id,
                occurred_at=row.time,
            )
            return booking.counted
        booking = await book.fill(
            row.quantity,
            row.price,
            row.id,
            commission=row.fee,
            commission_currency=row.fee_currency,
            allow_overfill=self.is_any_order,
            liquidity=Liquidity.TAKER if order.limit_price is None else Liquidity.MAKER,
            occurred_at=row.time,
            transact_time_ns=nanoseconds(row.time),
        )
        return booking.counted

    async def _cancel(self, uow: PostgreSQLUnitOfWork, row: Row) -> bool:
        order = await uow.orders.get_order_by_id(self.order_ids[str(row.order)])
        assert order is not None
        if not order.is_active:
            return False
        order.cancel(occurred_at=row.time)
        await uow.orders.update_order(order)
        return True

    async def _value(self, uow: PostgreSQLUnitOfWork, row: Row) -> bool:
        changed = [
            one
            for one in await uow.positions.get_positions_by_portfolio(self.portfolio_id)
            if one.symbol == row.symbol and (one.is_open or row.kind == "split")
        ]
        for position in changed:
            if row.kind == "mark":
                assert row.price is not None
                position.mark(row.price, occurred_at=row.time)
            else:  # a closed one too: if one of its fills is busted, it is open again
                assert row.quantity is not None
                position.split(row.quantity, occurred_at=row.time)
            await uow.positions.update_position(position)
        return bool(changed)

    async def _move(self, uow: PostgreSQLUnitOfWork, row: Row) -> bool:
        assert row.amount is not None
        portfolio = await uow.portfolios.get_portfolio_by_id(self.portfolio_id)
        assert portfolio is not None
        when: dict[str, Any] = {"external_id": row.id, "occurred_at": row.time}
        if row.kind == "conversion":
            assert row.quantity is not None
            bought, paid = (row.symbol, row.quantity), (row.currency, abs(row.amount))
            out, into = (paid, bought) if row.side == "BUY" else (bought, paid)
            counted = portfolio.convert(*out, *into, **when)
        else:
            kind = CashKind(row.kind.upper())
            counted = portfolio.record_cash(
                kind, row.amount, currency=row.currency, symbol=row.symbol, **when
            )
        await uow.portfolios.update_portfolio(portfolio)
        return counted


def nanoseconds(time: datetime) -> int:
    """The nanoseconds since the epoch."""
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000


def _parts(rows: tuple[Row, ...]) -> list[list[Row]]:
    """The rows before, between and after the splits, each split as a part of its own."""
    parts: list[list[Row]] = [[]]
    for row in rows:
        if row.kind == "split":
            parts += [[row], []]
        else:
            parts[-1].append(row)
    return parts
