"""The contract of the order repository."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from uuid import uuid4

import pytest

from eventstore.domain import ACTIVE_ORDER_STATUSES, Order, OrderSide, OrderStatus, OrderType
from eventstore.errors import (
    ConfigurationError,
    DomainError,
    EntityDeletedError,
    OrderNotFoundError,
    RepositoryError,
)
from tests.contract.databases import Database, a_position, an_order, load, minute, save, types


class TestSaveAndLoad:
    """save_order, save_many, update_order, delete_order, get_order_by_id."""

    async def test_what_is_saved_is_loaded(self, tables: Database):
        """Another Unit of Work gets an equal order, as an instance of its own."""
        order = an_order(tags=("a", "b"), strategy="mean", portfolio_id=uuid4(), multiplier=Decimal("0.50"))
        await save(tables, order)
        async with tables.unit_of_work() as uow:
            loaded = await uow.orders.get_order_by_id(order.id)
        assert loaded == order
        assert loaded is not order
        assert order.version == 1

    async def test_decimals_keep_their_digits(self, tables: Database):
        """150.00 comes back as 150.00, and 34 digits as 34 digits."""
        order = an_order()
        order.quantity = Decimal("1234567890123456789012345.678901234")
        await save(tables, order)
        async with tables.unit_of_work() as uow:
            loaded = await uow.orders.get_order_by_id(order.id)
        assert loaded is not None
        assert str(loaded.limit_price) == "150.00"
        assert str(loaded.quantity) == "1234567890123456789012345.678901234"

    async def test_another_kinds_id_is_unknown(self, tables: Database):
        """The id of a position is no order's: None, False, `OrderNotFoundError`, inside its Unit of Work and later."""
        position = a_position()
        async with tables.unit_of_work() as uow:
            await uow.positions.save_position(position)
            assert await uow.orders.get_order_by_id(position.id) is None
        await tables.catch_up()
        async with tables.unit_of_work() as uow:
            assert await uow.orders.get_order_by_id(position.id) is None
            assert not await uow.orders.delete_order(position.id)
            with pytest.raises(OrderNotFoundError):
                await uow.orders.update_order(an_order(id=position.id))
            assert await uow.positions.get_position_by_id(position.id) == position

    async def test_another_kind_is_refused(self, database: Database):
        """A repository says so when it is given an entity of another kind; nothing is staged."""
        async with database.unit_of_work() as uow:
            for call in (uow.orders.save_order, uow.orders.update_order):
                with pytest.raises(RepositoryError, match="keeps Order entities, not Position"):
                    await call(a_position())  # type: ignore[arg-type]
            with pytest.raises(RepositoryError, match="keeps Order entities"):
                await uow.orders.save_many([an_order(), a_position()])  # type: ignore[list-item]
        assert uow.last_position is None

    async def test_save_many_saves_all_or_none(self, database: Database):
        """An order that cannot be saved takes back those before it, also where the Unit of Work goes on and commits."""
        first, known, earlier = an_order(), an_order(), an_order()
        await save(database, known)
        async with database.unit_of_work() as uow:
            stale = await load(uow, known.id)
        async with database.unit_of_work() as uow:
            await uow.orders.save_order(earlier)
            mine = await load(uow, known.id)
            mine.tags = ("x",)
            await uow.orders.save_order(mine)
            stale.tags = ("y",)
            with pytest.raises(RepositoryError):
                await uow.orders.save_many([first, stale])
        assert (first.version, earlier.version) == (0, 1)
        assert await types(database, first.id) == []
        assert await types(database, known.id) == ["OrderCreated", "OrderAmended"]
        await save(database, first)
        assert first.version == 1

    async def test_save_returns_the_entity(self, database: Database):
        """`save_order`, `save_many` and `update_order` return the instances they were given."""
        order, other = an_order(), an_order()
        async with database.unit_of_work() as uow:
            assert await uow.orders.save_order(order) is order
            assert await uow.orders.save_many([order, other]) == [order, other]
            order.submit("B-1")
            assert await uow.orders.update_order(order) is order

    async def test_save_inserts_or_updates(self, tables: Database):
        """A second `save_order` appends only what is new."""
        order = an_order()
        await save(tables, order)
        order.submit("B-1", occurred_at=minute(1))
        await save(tables, order)
        await save(tables, order)
        assert await types(tables, order.id) == ["OrderCreated", "OrderSubmitted"]
        assert order.version == 2

    async def test_save_many_saves_all(self, tables: Database):
        """`save_many` takes any iterable, and keeps its order."""
        orders = [an_order(number) for number in range(3)]
        async with tables.unit_of_work() as uow:
            assert await uow.orders.save_many(iter(orders)) == orders
        await tables.catch_up()
        async with tables.unit_of_work() as uow:
            assert await uow.orders.get_orders_by_symbol("AAPL") == orders

    async def test_a_plain_assignment_is_kept(self, tables: Database):
        """Assigned fields become one `OrderAmended`, and are there when loaded."""
        order = an_order()
        await save(tables, order)
        async with tables.unit_of_work() as uow:
            loaded = await uow.orders.get_order_by_id(order.id)
            assert loaded is not None
            loaded.limit_price = Decimal("151.5")
            loaded.tags = ("urgent",)
            await uow.orders.update_order(loaded)
        await tables.catch_up()
        async with tables.unit_of_work() as uow:
            again = await uow.orders.get_order_by_id(order.id)
        assert again is not None
        assert (again.limit_price, again.tags) == (Decimal("151.5"), ("urgent",))
        assert await types(tables, order.id) == ["OrderCreated", "OrderAmended"]

    async def test_no_change_appends_nothing(self, database: Database):
        """Updating an order that has not changed, or was assigned what it had, appends nothing."""
        order = an_order()
        await save(database, order)
        order.limit_price = Decimal("150.0")
        async with database.unit_of_work() as uow:
            await uow.orders.update_order(order)
        assert await types(database, order.id) == ["OrderCreated"]
        assert uow.last_position is None

    async def test_get_of_an_unknown_id(self, database: Database):
        """`get_order_by_id` returns None."""
        async with database.unit_of_work() as uow:
            assert await uow.orders.get_order_by_id(uuid4()) is None

    async def test_update_of_an_unknown_id(self, database: Database):
        """`update_order` raises `OrderNotFoundError`, which names the id, and nothing is written."""
        order = an_order()
        with pytest.raises(OrderNotFoundError) as raised:
            async with database.unit_of_work() as uow:
                await uow.orders.update_order(order)
        assert (raised.value.entity_id, raised.value.category) == (order.id, "order")
        assert await types(database, order.id) == []

    async def test_update_in_the_unit_of_work_that_saved_it(self, database: Database):
        """What was staged a moment ago is known to `update_order`."""
        order = an_order()
        async with database.unit_of_work() as uow:
            await uow.orders.save_order(order)
            order.submit("B-1")
            await uow.orders.update_order(order)
        assert await types(database, order.id) == ["OrderCreated", "OrderSubmitted"]

    async def test_delete(self, tables: Database):
        """`delete_order` says that there was one; the order is gone, and its history is not."""
        order, other = an_order(), an_order(1)
        await save(tables, order, other)
        async with tables.unit_of_work() as uow:
            assert await uow.orders.delete_order(order.id) is True
            assert await uow.orders.get_order_by_id(order.id) is None
            assert await uow.orders.get_orders_by_symbol("AAPL") == [other]
        await tables.catch_up()
        async with tables.unit_of_work() as uow:
            assert await uow.orders.get_order_by_id(order.id) is None
            assert await uow.orders.get_orders_by_symbol("AAPL") == [other]
        assert await types(tables, order.id) == ["OrderCreated", "OrderDeleted"]

    async def test_delete_of_what_is_not_there(self, tables: Database):
        """`delete_order` returns False for an unknown id, and for one that was deleted."""
        order = an_order()
        await save(tables, order)
        async with tables.unit_of_work() as uow:
            assert await uow.orders.delete_order(uuid4()) is False
            assert await uow.orders.delete_order(order.id) is True
            assert await uow.orders.delete_order(order.id) is False
        async with tables.unit_of_work() as uow:
            assert await uow.orders.delete_order(order.id) is False
        assert await types(tables, order.id) == ["OrderCreated", "OrderDeleted"]

    async def test_an_order_that_came_and_went(self, database: Database):
        """Saved and deleted in one Unit of Work, it leaves its history and nothing else."""
        order = an_order()
        async with database.unit_of_work() as uow:
            await uow.orders.save_order(order)
            assert await uow.orders.delete_order(order.id) is True
            assert await uow.orders.get_orders_by_symbol("AAPL") == []
        async with database.unit_of_work() as uow:
            assert await uow.orders.get_order_by_id(order.id) is None
        assert await types(database, order.id) == ["OrderCreated", "OrderDeleted"]

    async def test_a_deleted_id_is_not_used_again(self, tables: Database):
        """Saving an order built by hand with a deleted id raises `EntityDeletedError`."""
        order = an_order()
        await save(tables, order)
        async with tables.unit_of_work() as uow:
            await uow.orders.delete_order(order.id)
        await tables.catch_up()
        again = Order(
            id=order.id, symbol="AAPL", side=OrderSide.BUY, order_type=OrderType.MARKET, quantity=Decimal(1)
        )
        with pytest.raises(EntityDeletedError) as raised:
            await save(tables, again)
        assert (raised.value.entity_id, raised.value.category) == (order.id, "order")

    async def test_a_deleted_id_is_not_used_again_by_a_factory(self, tables: Database):
        """An order that a factory made with a deleted id is refused as such, and not as a conflict to retry."""
        order = an_order()
        await save(tables, order)
        async with tables.unit_of_work() as uow:
            await uow.orders.delete_order(order.id)
        again = Order.create_market_order("AAPL", Decimal(1), OrderSide.BUY, id=order.id)
        with pytest.raises(EntityDeletedError):
            await save(tables, again)

    async def test_a_deleted_instance_is_not_saved_again(self, database: Database):
        """The very instance that was deleted is refused too, before the commit and after it."""
        order = an_order()
        await save(database, order)
        async with database.unit_of_work() as uow:
            order.delete()
            assert await uow.orders.save_order(order) is order
            with pytest.raises(EntityDeletedError):
                await uow.orders.save_order(order)
            with pytest.raises(OrderNotFoundError):
                await uow.orders.update_order(order)
        with pytest.raises(EntityDeletedError):
            await save(database, order)
        assert await types(database, order.id) == ["OrderCreated", "OrderDeleted"]


class TestLists:
    """Every list: what is in it, its order, `limit` and `after`."""

    async def test_by_symbol(self, tables: Database):
        """Orders of the very symbol, by creation, whatever order they were saved in."""
        late, early, other = an_order(2), an_order(1), an_order(0, symbol="AAP")
        await save(tables, late, early, other)
        async with tables.unit_of_work() as uow:
            assert await uow.orders.get_orders_by_symbol("AAPL") == [early, late]
            assert await uow.orders.get_orders_by_symbol("aapl") == []

    async def test_equal_times_are_ordered_by_id(self, tables: Database):
        """Orders of one point in time come in the order of their ids."""
        orders = [an_order(id=uuid4()) for _ in range(5)]
        await save(tables, *orders)
        async with tables.unit_of_work() as uow:
            found = await uow.orders.get_orders_by_symbol("AAPL")
        assert found == sorted(orders, key=lambda order: order.id)

    async def test_by_status(self, tables: Database):
        """An order moves from list to list as its status changes, before and after the table knows."""
        order = an_order()
        await save(tables, order)
        steps: list[tuple[Callable[[], object], OrderStatus]] = [
            (lambda: order.submit("B-1", occurred_at=minute(1)), OrderStatus.SUBMITTED),
            (
                lambda: order.fill(Decimal(40), Decimal(150), "E-1", occurred_at=minute(2)),
                OrderStatus.PARTIALLY_FILLED,
            ),
            (
                lambda: order.fill(Decimal(60), Decimal(150), "E-2", occurred_at=minute(3)),
                OrderStatus.FILLED,
            ),
        ]
        for step, (command, status) in enumerate(steps):
            before = order.status
            command()
            async with tables.unit_of_work() as uow:
                await uow.orders.update_order(order)
            async with tables.unit_of_work() as uow:
                assert await uow.orders.get_orders_by_status(status) == [order], step
                assert await uow.orders.get_orders_by_status(before) == [], step
            await tables.catch_up()

    @pytest.mark.parametrize("status", list(OrderStatus))
    async def test_active_orders(self, tables: Database, status: OrderStatus):
        """Active are PENDING, SUBMITTED, PARTIALLY_FILLED, PENDING_CANCEL and PENDING_REPLACE, and no others."""
        order = an_order()
        if status is not OrderStatus.PENDING:
            order.submit("B-1", occurred_at=minute(1))
        if status is OrderStatus.PARTIALLY_FILLED:
            order.fill(Decimal(1), Decimal(150), "E-1", occurred_at=minute(2))
        elif status is OrderStatus.FILLED:
            order.fill(Decimal(100), Decimal(150), "E-1", occurred_at=minute(2))
        elif status is OrderStatus.CANCELLED:
            order.cancel(occurred_at=minute(2))
        elif status is OrderStatus.REJECTED:
            order.reject("no", occurred_at=minute(2))
        elif status is OrderStatus.EXPIRED:
            order.expire(occurred_at=minute(2))
        elif status is OrderStatus.PENDING_CANCEL:
            order.request_cancel("C-2", occurred_at=minute(2))
        elif status is OrderStatus.PENDING_REPLACE:
            order.request_replace(quantity=Decimal(5), client_order_id="C-2", occurred_at=minute(2))
        assert order.status is status
        await save(tables, order)
        active = status in ACTIVE_ORDER_STATUSES
        async with tables.unit_of_work() as uow:
            assert await uow.orders.get_active_orders() == ([order] if active else [])

    async def test_by_broker_id(self, tables: Database):
        """Every order that a broker knows by this id; two brokers may use one."""
        first, second, other = an_order(0), an_order(1), an_order(2)
        first.submit("B-1", occurred_at=minute(3))
        second.submit("B-1", occurred_at=minute(3))
        other.submit("B-2", occurred_at=minute(3))
        await save(tables, first, second, other, an_order(4))
        async with tables.unit_of_work() as uow:
            assert await uow.orders.get_orders_by_broker_id("B-1") == [first, second]
            assert await uow.orders.get_orders_by_broker_id("B-9") == []

    async def test_by_an_id_that_was_replaced(self, tables: Database):
        """An order is found by each broker id and each client order id that it ever had."""
        order, other = an_order(0, client_order_id="C-1"), an_order(1, client_order_id="C-9")
        order.submit("B-1", occurred_at=minute(3))
        await save(tables, order, other)
        await tables.catch_up()
        order.amend(quantity=Decimal(50), client_order_id="C-2", broker_order_id="B-2", occurred_at=minute(4))
        order.client_order_id = "C-3"
        order.broker_order_id = "B-3"
        await save(tables, order)
        for _ in range(2):
            async with tables.unit_of_work() as uow:
                for number in (1, 2, 3):
                    assert await uow.orders.get_orders_by_client_order_id(f"C-{number}") == [order]
                    assert await uow.orders.get_orders_by_broker_order_id(f"B-{number}") == [order]
                    assert await uow.orders.get_orders_by_broker_id(f"B-{number}") == [order]
                assert await uow.orders.get_orders_by_client_order_id("C-9") == [other]
                assert await uow.orders.get_orders_by_client_order_id("C-") == []
                assert await uow.orders.get_orders_by_broker_order_id("B-") == []
            await tables.catch_up()

    async def test_the_users_own_texts_are_kept(self, tables: Database):
        """`details` are given as a mapping and come back equal, from the log and from the table."""
        order = an_order(details={"signal": "9", "desk": "ü"})
        await save(tables, order)
        for _ in range(2):
            async with tables.unit_of_work() as uow:
                [found] = await uow.orders.get_orders_by_symbol("AAPL")
            assert found == order
            assert dict(found.details) == {"desk": "ü", "signal": "9"}
            await tables.catch_up()

    async def test_a_repeat_among_many_executions_is_refused(self, tables: Database):
        """A loaded order that has more executions than its state holds asks the log before it appends a fill."""
        order = an_order()
        for number in range(40):
            order.fill(Decimal(1), Decimal(150), f"E-{number}", occurred_at=minute(1))
        await save(tables, order)
        await tables.catch_up()
        async with tables.unit_of_work() as uow:
            loaded = await uow.orders.get_order_by_id(order.id)
            assert loaded is not None
            assert loaded.fill(Decimal(1), Decimal(150), "E-40", occurred_at=minute(2))
            await uow.orders.update_order(loaded)
        async with tables.unit_of_work() as uow:
            again = await uow.orders.get_order_by_id(order.id)
        assert again is not None
        assert again.fill(Decimal(1), Decimal(150), "E-0", occurred_at=minute(3))
        with pytest.raises(DomainError) as refusal:
            await save(tables, again)
        assert refusal.value.rule == "order.execution_repeated"
        async with tables.unit_of_work() as uow:
            final = await uow.orders.get_order_by_id(order.id)
        assert final is not None
        assert final.filled_quantity == 41

    async def test_by_parent_list_and_account(self, tables: Database):
        """The legs of a bracket are found by their parent, a group by its list id, and orders by their account."""
        entry = an_order(0, account="U1")
        legs = [an_order(n, parent_id=entry.id, list_id="OCO-1", account=f"U{n}") for n in (1, 2)]
        await save(tables, entry, *legs, an_order(3))
        for _ in range(2):
            async with tables.unit_of_work() as uow:
                assert await uow.orders.get_orders_by_parent(entry) == legs
                assert await uow.orders.get_orders_by_parent(entry.id) == legs
                assert await uow.orders.get_orders_by_parent(legs[0]) == []
                assert await uow.orders.get_orders_by_list("OCO-1") == legs
                assert await uow.orders.get_orders_by_list("OCO") == []
                assert await uow.orders.get_orders_by_account("U1") == [entry, legs[0]]
                assert await uow.orders.get_orders_by_account("U") == []
            await tables.catch_up()

    async def test_by_date_range(self, tables: Database):
        """Both ends are included, to the microsecond."""
        orders = [an_order(number) for number in range(4)]
        tick = timedelta(microseconds=1)
        await save(tables, *orders)
        async with tables.unit_of_work() as uow:
            assert await uow.orders.get_orders_by_date_range(minute(1), minute(2)) == orders[1:3]
            assert await uow.orders.get_orders_by_date_range(minute(1) + tick, minute(2)) == orders[2:3]
            assert await uow.orders.get_orders_by_date_range(minute(1) + tick, minute(2) - tick) == []
            assert await uow.orders.get_orders_by_date_range(minute(3), minute(3)) == orders[3:]

    async def test_a_naive_range_is_local_time(self, tables: Database):
        """A naive datetime means local time, as in the standard library."""
        order = an_order()
        await save(tables, order)
        naive = minute(0).astimezone().replace(tzinfo=None)
        assert isinstance(naive, datetime)
        async with tables.unit_of_work() as uow:
            assert await uow.orders.get_orders_by_date_range(naive, naive) == [order]

    @pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=5)), timezone(timedelta(hours=-5))])
    async def test_a_range_of_all_times(self, tables: Database, zone: tzinfo | None):
        """`datetime.min` and `datetime.max` ask for everything, though they have no local time."""
        order = an_order()
        await save(tables, order)
        ever = (datetime.min.replace(tzinfo=zone), datetime.max.replace(tzinfo=zone))
        async with tables.unit_of_work() as uow:
            assert await uow.orders.get_orders_by_date_range(*ever) == [order]

    async def test_a_range_that_ends_before_it_starts(self, database: Database):
        """It is refused by name."""
        async with database.unit_of_work() as uow:
            with pytest.raises(ConfigurationError, match="before it starts"):
                await uow.orders.get_orders_by_date_range(minute(1), minute(0))

    async def test_pages(self, tables: Database):
        """`limit` and `after` give the whole list piece by piece, with unsaved and uncommitted ones in it."""
        orders = [an_order(number // 2, id=uuid4()) for number in range(7)]
        await save(tables, *orders[1:6])
        expected = sorted(orders, key=lambda order: (order.created_at, order.id))
        async with tables.unit_of_work() as uow:
            await uow.orders.save_order(orders[0])
            await uow.orders.save_order(orders[6])
            pages: list[Order] = []
            while page := await uow.orders.get_orders_by_symbol(
                "AAPL", after=pages[-1] if pages else None, limit=2
            ):
                assert len(page) <= 2
                pages += page
        assert pages == expected

    async def test_a_page_is_full_whatever_left_the_list(self, tables: Database):
        """Orders that the tail takes out of a list do not make its page shorter."""
        orders = [an_order(number) for number in range(6)]
        await save(tables, *orders)
        for order in orders[:3]:
            order.cancel(occurred_at=minute(9))
        async with tables.unit_of_work() as uow:
            await uow.orders.save_many(orders[:2])
        async with tables.unit_of_work() as uow:
            await uow.orders.update_order(orders[2])
            assert await uow.orders.get_active_orders(limit=2) == orders[3:5]

    async def test_after_an_order_that_left_the_list(self, tables: Database):
        """The next page begins where the order was, though it is in the list no longer."""
        orders = [an_order(number) for number in range(3)]
        await save(tables, *orders)
        async with tables.unit_of_work() as uow:
            await uow.orders.delete_order(orders[1].id)
        async with tables.unit_of_work() as uow:
            assert await uow.orders.get_orders_by_symbol("AAPL", after=orders[1]) == [orders[2]]

    async def test_limits(self, tables: Database):
        """None gives all; 0 and less is refused."""
        await save(tables, an_order())
        async with tables.unit_of_work() as uow:
            assert len(await uow.orders.get_active_orders(limit=None)) == 1
            for limit in (0, -1):
                with pytest.raises(RepositoryError, match="limit"):
                    await uow.orders.get_active_orders(limit=limit)

    async def test_consistency_has_two_words(self, database: Database):
        """Any other is refused."""
        async with database.unit_of_work() as uow:
            with pytest.raises(RepositoryError, match="consistency"):
                await uow.orders.get_active_orders(consistency="soon")  # type: ignore[arg-type]

    async def test_eventual_shows_what_is_in_the_table(self, tables: Database):
        """Once the tables are up to date, an eventual list is the fresh one."""
        order = an_order()
        await save(tables, order)
        async with tables.unit_of_work() as uow:
            eventual = await uow.orders.get_active_orders(consistency="eventual")
            assert eventual in ([], [order])
            if type(tables).__name__ == "MemoryDatabase":
                assert eventual == [order]

    async def test_a_list_sees_what_others_commit(self, tables: Database):
        """Within one Unit of Work the second list has what was committed since the first."""
        first, second = an_order(0), an_order(1)
        await save(tables, first)
        async with tables.unit_of_work() as uow:
            assert await uow.orders.get_active_orders() == [first]
            await save(tables, second)
            assert await uow.orders.get_active_orders() == [first, second]
