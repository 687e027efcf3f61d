"""Orders, positions and portfolio together: whatever is reported late, twice, busted or corrected, their sums are the facts'."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import given, strategies as st

from eventstore.domain import Order, OrderSide, Portfolio, Position, Settlement
from eventstore.testing import InMemoryDatabase, InMemoryUnitOfWorkFactory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

START = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
FAR = datetime(2999, 1, 1, tzinfo=UTC)
PRICES = st.integers(90, 110)
QUANTITIES = st.integers(1, 5)


@dataclass(frozen=True)
class Fact:
    """What the venue says of one execution now; of a busted one the quantity is 0."""

    side: OrderSide
    quantity: int
    price: int

    @property
    def signed(self) -> int:
        """The quantity, negative for a sale."""
        return self.side.sign * self.quantity


@dataclass(frozen=True)
class Report:
    """A report: of a new execution, or about the one with this number (modulo how many there are)."""

    kind: str
    number: int
    side: OrderSide
    quantity: int
    price: int
    minute: int


REPORTS = st.lists(
    st.builds(
        Report,
        kind=st.sampled_from(["fill", "fill", "fill", "repeat", "bust", "correct"]),
        number=st.integers(0, 30),
        side=st.sampled_from(OrderSide),
        quantity=QUANTITIES,
        price=PRICES,
        minute=st.integers(0, 60),
    ),
    max_size=12,
)


class Account:
    """One portfolio in memory, an order for each side, and the facts that were reported of them."""

    def __init__(self, settlement: Settlement) -> None:
        self.factory = InMemoryUnitOfWorkFactory(InMemoryDatabase())
        self.portfolio = Portfolio(
            name="Main", initial_capital=Decimal(1000), settlement=settlement, created_at=START
        )
        self.orders = {
            side: Order.create_market_order(
                "ES", Decimal(100_000), side, portfolio_id=self.portfolio.id, occurred_at=START
            )
            for side in OrderSide
        }
        self.facts: dict[str, Fact] = {}
        self.ids: dict[str, str] = {}
        """By the first id of an execution, the one that it has now."""

    async def begin(self) -> None:
        """Save portfolio and orders."""
        async with self.factory.create_unit_of_work() as uow:
            await uow.portfolios.save_portfolio(self.portfolio)
            await uow.orders.save_many(self.orders.values())

    async def play(self, number: int, report: Report) -> None:
        """Book a report in a Unit of Work of its own, and note the fact."""
        known = list(self.facts)
        first = known[report.number % len(known)] if known else ""
        when = {"occurred_at": START + timedelta(minutes=report.minute)}
        if report.kind == "fill" or not known:
            first = f"E{number}"
            self.facts[first] = Fact(report.side, report.quantity, report.price)
            self.ids[first] = first
            assert await self._book(report.side, "fill", *self._told(first), **when)
            return
        fact = self.facts[first]
        if report.kind == "repeat":
            if fact.quantity:
                assert not await self._book(fact.side, "fill", *self._told(first), **when)
            return
        if not fact.quantity:
            return
        if report.kind == "bust":
            assert await self._book(fact.side, "bust", self.ids[first], **when)
            self.facts[first] = replace(fact, quantity=0)
            return
        changed = Fact(fact.side, report.quantity, report.price)
        new_id = f"C{number}"
        assert await self._book(
            fact.side,
            "correct",
            self.ids[first],
            quantity=Decimal(changed.quantity),
            price=Decimal(changed.price),
            new_execution_id=new_id,
            **when,
        )
        self.facts[first], self.ids[first] = changed, new_id

    def _told(self, first: str) -> tuple[Decimal, Decimal, str]:
        fact = self.facts[first]
        return Decimal(fact.quantity), Decimal(fact.price), self.ids[first]

    async def _book(self, side: OrderSide, call: str, *args: Any, **details: Any) -> bool:
        async with self.factory.create_unit_of_work() as uow:
            order = await uow.orders.get_order_by_id(self.orders[side].id)
            assert order is not None
            return bool((await getattr(uow.book(order), call)(*args, **details)).counted)

    async def check(self) -> None:
        """Compare orders, positions and portfolio with the facts, now and as of a time after everything."""
        async with self.factory.create_unit_of_work() as uow:
            now = await self._read(uow, self.portfolio.id)
        async with self.factory.as_of(occurred_at=FAR) as past:
            then = await self._read(past, self.portfolio.id)
        assert now == then
        orders, positions, portfolio = now
        facts = self.facts.values()
        for order in orders:
            assert order.filled_quantity == sum(one.quantity for one in facts if one.side is order.side)
        quantity = sum(one.signed for one in facts)
        value = sum(one.signed * one.price for one in facts)
        still = [one for one in positions if one.is_open]
        assert sum(one.quantity for one in positions) == quantity
        assert len(still) <= 1, "a portfolio that nets has one position"
        cost = sum((one.cost for one in positions), Decimal(0))
        realized = sum((one.realized_pnl for one in positions), Decimal(0))
        assert abs(realized - (cost - value)) < Decimal("1e-15")
        assert abs(portfolio.total_realized_pnl - realized) < Decimal("1e-15")
        paid = value if portfolio.settlement is Settlement.IN_FULL else -realized
        assert abs(portfolio.cash_balance - (1000 - paid)) < Decimal("1e-15")

    async def _read(
        self, source: Any, portfolio_id: UUID
    ) -> tuple[Sequence[Order], Sequence[Position], Portfolio]:
        orders = [await source.orders.get_order_by_id(order.id) for order in self.orders.values()]
        positions = list(await source.positions.get_positions_by_portfolio(portfolio_id))
        return orders, positions, await source.portfolios.get_portfolio_by_id(portfolio_id)


@given(reports=REPORTS, settlement=st.sampled_from(Settlement))
def test_orders_positions_and_portfolio_are_the_sums_of_the_facts(
    reports: list[Report], settlement: Settlement
):
    """Fills, repeats, busts and corrections of two orders, in any order and with any times."""

    async def play() -> None:
        account = Account(settlement)
        await account.begin()
        for number, report in enumerate(reports):
            await account.play(number, report)
            await account.check()

    asyncio.run(play())
