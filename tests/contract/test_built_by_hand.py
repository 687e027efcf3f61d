"""The contract of an entity without a version, made by its constructor with a given id."""

from __future__ import annotations

from decimal import Decimal

import pytest

from eventstore.domain import Order, OrderSide, OrderStatus, OrderType
from eventstore.errors import DomainError, OrderNotFoundError
from tests.contract.databases import Database, an_order, minute, save, types


def by_hand(order: Order, **fields: object) -> Order:
    """An order made by the constructor with the id of another one, and without a version."""
    given = {
        "id": order.id,
        "symbol": "AAPL",
        "side": OrderSide.BUY,
        "order_type": OrderType.LIMIT,
        "quantity": Decimal(100),
        "limit_price": Decimal("150.00"),
    }
    return Order(**(given | fields))


class TestBuiltByHand:
    """An entity without a version, made by its constructor with a given id."""

    async def test_only_given_fields_are_compared(self, tables: Database):
        """What was not given to the constructor stays as it is stored."""
        order = an_order(tags=("kept",))
        order.submit("B-1", occurred_at=minute(1))
        await save(tables, order)
        async with tables.unit_of_work() as uow:
            mine = by_hand(order, limit_price=Decimal("149.00"))
            await uow.orders.update_order(mine)
            assert (mine.status, mine.tags) == (OrderStatus.SUBMITTED, ("kept",))
        await tables.catch_up()
        async with tables.unit_of_work() as uow:
            loaded = await uow.orders.get_order_by_id(order.id)
        assert loaded is not None
        assert (loaded.limit_price, loaded.broker_order_id, loaded.tags) == (
            Decimal("149.00"),
            "B-1",
            ("kept",),
        )
        history = await tables.history(order.id)
        assert history[-1].event.changes == {"limit_price": Decimal("149.00")}  # type: ignore[attr-defined]

    async def test_equal_fields_append_nothing(self, tables: Database):
        """A copy that says what is stored changes nothing."""
        order = an_order()
        await save(tables, order)
        await save(tables, by_hand(order))
        assert await types(tables, order.id) == ["OrderCreated"]

    async def test_an_unknown_id(self, database: Database):
        """`update_order` raises, `save_order` appends a creating event."""
        mine = by_hand(an_order())
        async with database.unit_of_work() as uow:
            with pytest.raises(OrderNotFoundError):
                await uow.orders.update_order(mine)
            await uow.orders.save_order(mine)
        assert (await types(database, mine.id))[0] == "OrderCreated"

    async def test_values_that_break_a_rule_leave_it_as_it_was(self, database: Database):
        """Less than what is filled is refused, each time; the entity does not become the stored one."""
        order = an_order()
        order.submit("B-1", occurred_at=minute(1))
        order.fill(Decimal(60), Decimal("150.00"), "E-1", occurred_at=minute(2))
        await save(database, order)
        mine = by_hand(order, quantity=Decimal(50))
        async with database.unit_of_work() as uow:
            for _ in range(2):
                with pytest.raises(DomainError):
                    await uow.orders.save_order(mine)
                assert (mine.version, mine.quantity, mine.status) == (0, Decimal(50), OrderStatus.PENDING)
        assert (await types(database, order.id))[-1] == "OrderFilled"
