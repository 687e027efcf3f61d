"""The Unit of Work: all of it or nothing, one instance for each id, and entities that can always be saved again."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from eventstore.domain.order import Order, OrderSide, OrderStatus, OrderType
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.errors import (
    ConcurrencyError,
    DomainError,
    EntityDeletedError,
    EntityNotFoundError,
    OrderNotFoundError,
    PortfolioNotFoundError,
    PositionNotFoundError,
    RepositoryError,
    TransactionAlreadyActiveError,
    TransactionNotActiveError,
)
from tests.entities import Strategy, everything
from tests.saved_orders import new_order, saved, stored_versions

if TYPE_CHECKING:
    from eventstore.store import EventStore

D = Decimal


async def test_everything_is_committed_together(store: EventStore):
    """An order, a position, a portfolio and a user's entity go into one statement, in the order of staging."""
    order, strategy = new_order(), Strategy.start("s")
    position = Position.open_position("ES", D(3), D("10.25"), D("0.50"))
    portfolio = Portfolio(name="main", initial_capital=D(1000))
    async with store.unit_of_work(metadata={"actor": "test"}) as uow:
        await uow.orders.save_order(order)
        await uow.positions.save_position(position)
        order.submit("B-1")
        await uow.portfolios.save_portfolio(portfolio)
        await uow.entities(Strategy).save(strategy)
        await uow.orders.update_order(order)
        assert await everything(store.connection) == []
    rows = await everything(store.connection)
    assert [row["stream_id"] for row in rows] == [order.id, position.id, portfolio.id, strategy.id, order.id]
    assert (order.version, position.version, portfolio.version, strategy.version) == (2, 1, 1, 1)
    assert uow.last_position == rows[-1]["position"]
    events = [event async for event in store.log.read_all()]
    assert len({event.recorded_at for event in events}) == 1
    assert {event.metadata["actor"] for event in events} == {"test"}
    for entity in (order, position, portfolio, strategy):
        assert type(entity).fold(await store.history(entity.id)) == entity


async def test_an_error_in_the_block_writes_nothing(store: EventStore):
    """An error leaves the log as it was, and the entity as it is: with its events pending, to be saved again."""
    order = new_order()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
            raise ZeroDivisionError
    assert await everything(store.connection) == []
    assert (order.version, len(order.pending_events)) == (0, 1)
    order.submit("B")
    await saved(store, order)
    assert (order.version, await stored_versions(store, order.id)) == (2, [2])


@pytest.mark.parametrize("flushed", [False, True])
async def test_a_rollback_leaves_entities_that_can_be_saved_again(store: EventStore, flushed: bool):
    """New, changed, assigned and deleted entities are rolled back and saved again, the Unit of Work too is used again."""
    new, changed, assigned, deleted = (new_order(str(number)) for number in range(4))
    await saved(store, changed, assigned, deleted)
    uow = store.unit_of_work()
    await uow.begin_transaction()
    await uow.orders.save_order(new)
    changed.submit("B")
    await uow.orders.update_order(changed)
    assigned.tags = ("x",)
    await uow.orders.update_order(assigned)
    assert await uow.orders.delete_order(deleted.id)
    if flushed:
        await uow.flush()
    await uow.rollback()
    assert not uow.is_active
    assert len(await everything(store.connection)) == 3
    assert (new.version, changed.version, assigned.version) == (0, 1, 1)
    async with uow:
        await uow.orders.save_many([new, changed, assigned])
        assert await uow.orders.get_order_by_id(deleted.id) == deleted
    assert (new.version, changed.version, assigned.version) == (1, 2, 2)
    assert await stored_versions(store, new.id, changed.id, assigned.id, deleted.id) == [1, 2, 2, 1]
    async with uow:
        read = await uow.orders.get_order_by_id(assigned.id)
        assert read is not None
        assert (read.tags, read is assigned) == (("x",), False)


@pytest.mark.parametrize("flushed", [False, True])
async def test_a_conflict_writes_nothing_and_leaves_what_was_staged(store: EventStore, flushed: bool):
    """One stale entity among others: nothing is written; refreshed and saved again, all is."""
    stale, other = new_order("a"), new_order("b")
    await saved(store, stale)
    async with store.unit_of_work() as uow:
        elsewhere = await uow.orders.get_order_by_id(stale.id)
        assert elsewhere is not None
        elsewhere.submit("B")
        await uow.orders.update_order(elsewhere)
    stale.cancel()
    with pytest.raises(ConcurrencyError) as caught:  # noqa: PT012
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(other)
            await uow.orders.update_order(stale)
            if flushed:
                await uow.flush()
    assert (caught.value.stream_id, caught.value.expected, caught.value.actual) == (stale.id, 1, 2)
    assert len(await everything(store.connection)) == 2
    assert (stale.version, other.version) == (1, 0)
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(other)
        await uow.refresh(stale)
        assert (stale.status, stale.version, stale.pending_events) == (OrderStatus.SUBMITTED, 2, ())
        stale.cancel()
        await uow.orders.update_order(stale)
    assert await stored_versions(store, stale.id, other.id) == [3, 1]


async def test_a_stale_entity_is_never_turned_into_a_difference(store: EventStore):
    """An entity loaded before another's change is refused, also where it assigns the field that the other set."""
    order = new_order()
    await saved(store, order)
    async with store.unit_of_work() as uow:
        mine = await uow.orders.get_order_by_id(order.id)
    assert mine is not None
    order.tags = ("theirs",)
    await saved(store, order)
    mine.tags = ("mine",)
    with pytest.raises(ConcurrencyError):
        await saved(store, mine)
    async with store.unit_of_work() as uow:
        with pytest.raises(ConcurrencyError):  # noqa: PT012
            await uow.orders.update_order(mine)
            await uow.orders.get_order_by_id(order.id)
        await uow.rollback()
    uow = store.unit_of_work()
    await uow.begin_transaction()
    await uow.orders.get_order_by_id(
        order.id
    )  # the newest is known here, and the stale one is no newer for it
    await uow.orders.update_order(mine)
    with pytest.raises(ConcurrencyError):
        await uow.commit()
    await uow.rollback()
    async with store.unit_of_work() as uow:
        read = await uow.orders.get_order_by_id(order.id)
    assert read is not None
    assert (read.tags, read.version) == (("theirs",), 2)


async def test_one_id_is_one_instance(store: EventStore):
    """Every read of an id inside a Unit of Work gives the same object, with its unsaved changes; a new one outside."""
    order = new_order()
    await saved(store, order)
    async with store.unit_of_work() as uow:
        first = await uow.orders.get_order_by_id(order.id)
        assert first is not None
        assert first is not order
        first.submit("B-7")
        assert await uow.orders.get_order_by_id(order.id) is first
        for found in (
            await uow.orders.get_orders_by_symbol("ES"),
            await uow.orders.get_active_orders(),
            await uow.orders.get_orders_by_status(OrderStatus.SUBMITTED),
            await uow.orders.get_orders_by_broker_id("B-7"),
        ):
            assert len(found) == 1
            assert found[0] is first
        assert await uow.orders.get_orders_by_status(OrderStatus.PENDING) == []
        await uow.orders.update_order(first)
        await uow.flush()
        assert await uow.orders.get_order_by_id(order.id) is first
        with pytest.raises(RepositoryError):  # noqa: PT012
            order.cancel()
            await uow.orders.update_order(order)
    async with store.unit_of_work() as uow:
        assert await uow.orders.get_order_by_id(order.id) is not first


async def test_another_writers_change_reaches_the_one_instance(store: EventStore):
    """An instance without changes of its own is brought up to date by the next read; with changes it is a conflict."""
    order = new_order()
    await saved(store, order)
    async with store.unit_of_work() as uow:
        mine = await uow.orders.get_order_by_id(order.id)
        assert mine is not None
        order.submit("B")
        await saved(store, order)
        assert (mine.version, await uow.orders.get_order_by_id(order.id) is mine, mine.version) == (
            1,
            True,
            2,
        )
        mine.cancel()
        order.tags = ("x",)
        await saved(store, order)
        with pytest.raises(ConcurrencyError):
            await uow.orders.get_order_by_id(order.id)
        with pytest.raises(ConcurrencyError):
            await uow.orders.get_active_orders()
        await uow.rollback()


async def test_staged_changes_are_seen_before_the_commit(store: EventStore):
    """New, changed, assigned and deleted entities are in every list as this Unit of Work has them."""
    orders = [new_order(str(number)) for number in range(3)]
    await saved(store, *orders)
    async with store.unit_of_work() as uow:
        mine = [await uow.orders.get_order_by_id(order.id) for order in orders]
        assert all(mine)
        mine[0].cancel()  # type: ignore[union-attr]
        mine[1].symbol = "renamed"  # type: ignore[union-attr]
        await uow.orders.delete_order(orders[2].id)
        fresh = new_order("new")
        await uow.orders.save_order(fresh)
        for consistency in ("fresh", "eventual"):
            active = await uow.orders.get_active_orders(consistency=consistency)
            assert [order.id for order in active] == [orders[1].id, fresh.id]
        assert await uow.orders.get_orders_by_symbol("1") == []
        assert len(await uow.orders.get_orders_by_symbol("renamed")) == 1
        assert await uow.orders.get_orders_by_symbol("2") == []
        assert await uow.orders.get_order_by_id(orders[2].id) is None
        assert len(await uow.orders.get_active_orders(limit=1)) == 1
        await uow.rollback()


async def test_an_entity_built_by_hand_changes_the_fields_that_were_given(store: EventStore):
    """A known id: the fields set by the constructor become one amendment, others stay as another writer left them."""
    order = new_order()
    order.submit("B-1")
    await saved(store, order)
    by_hand = Order(
        id=order.id, symbol="ES", side=OrderSide.BUY, order_type=OrderType.LIMIT, quantity=D(100),
        limit_price=D("1.75"), created_at=order.created_at,
    )  # fmt: skip
    async with store.unit_of_work() as uow:
        assert await uow.orders.update_order(by_hand) is by_hand
    assert (by_hand.version, by_hand.limit_price, by_hand.broker_order_id) == (3, D("1.75"), "B-1")
    amended = (await store.history(order.id))[-1].event
    assert amended.changes == {"limit_price": D("1.75")}  # type: ignore[attr-defined]
    same = Order(id=order.id, symbol="ES", side=OrderSide.BUY, order_type=OrderType.LIMIT, quantity=D(100),
                 limit_price=D("1.75"), created_at=order.created_at)  # fmt: skip
    await saved(store, same)
    assert (same.version, await stored_versions(store, order.id)) == (3, [3])


async def test_an_unknown_id_is_not_updated(store: EventStore):
    """`update_*` of what was never saved names the id; `save_*` of it makes it new."""
    order, portfolio = new_order(), Portfolio(id=uuid4(), name="m", initial_capital=D(1))
    position = Position.open_position("ES", D(1), D(1), D(0))
    strategy = Strategy.start("s")
    async with store.unit_of_work() as uow:
        with pytest.raises(OrderNotFoundError) as caught:
            await uow.orders.update_order(order)
        assert caught.value.entity_id == order.id
        with pytest.raises(PositionNotFoundError):
            await uow.positions.update_position(position)
        with pytest.raises(PortfolioNotFoundError):
            await uow.portfolios.update_portfolio(portfolio)
        with pytest.raises(EntityNotFoundError):
            await uow.entities(Strategy).update(strategy)
        with pytest.raises(EntityNotFoundError):
            await uow.refresh(order)
        assert await uow.orders.delete_order(order.id) is False
    assert await everything(store.connection) == []
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.orders.save_order(order)
        await uow.orders.update_order(order)
    assert (portfolio.version, order.version) == (1, 1)


async def test_a_deleted_id_is_not_used_again(store: EventStore):
    """The history stays, reads find nothing, and an entity built with the id is refused, in memory and in the log."""
    portfolio = Portfolio(name="m", initial_capital=D(1))
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
    async with store.unit_of_work() as uow:
        assert await uow.portfolios.delete_portfolio(portfolio.id)
        assert await uow.portfolios.delete_portfolio(portfolio.id) is False
        assert await uow.portfolios.get_all_portfolios() == []
    async with store.unit_of_work() as uow:
        assert await uow.portfolios.get_portfolio_by_id(portfolio.id) is None
        assert await uow.portfolios.delete_portfolio(portfolio.id) is False
        with pytest.raises(EntityDeletedError) as caught:
            await uow.portfolios.save_portfolio(
                Portfolio(id=portfolio.id, name="again", initial_capital=D(1))
            )
        assert caught.value.entity_id == portfolio.id
        with pytest.raises(PortfolioNotFoundError):
            await uow.portfolios.update_portfolio(
                Portfolio(id=portfolio.id, name="again", initial_capital=D(1))
            )
    assert [event.type for event in await store.history(portfolio.id)] == [
        "PortfolioCreated",
        "PortfolioDeleted",
    ]
    portfolio.deposit(D(1))
    with pytest.raises(ConcurrencyError):
        async with store.unit_of_work() as uow:
            await uow.portfolios.save_portfolio(portfolio)


async def test_an_entity_deleted_in_this_unit_of_work_takes_no_command(store: EventStore):
    """After `delete_*` the instance refuses every change."""
    order = new_order()
    await saved(store, order)
    async with store.unit_of_work() as uow:
        mine = await uow.orders.get_order_by_id(order.id)
        assert mine is not None
        await uow.orders.delete_order(order.id)
        with pytest.raises(DomainError):
            mine.cancel()
        with pytest.raises(DomainError):
            mine.tags = ("x",)


async def test_what_must_have_begun_says_so(store: EventStore):
    """Every use outside begin and commit is refused; beginning twice too."""
    uow = store.unit_of_work()
    order = new_order()
    for call in (
        uow.commit(),
        uow.rollback(),
        uow.flush(),
        uow.refresh(order),
        uow.orders.save_order(order),
        uow.orders.get_active_orders(),
    ):
        with pytest.raises(TransactionNotActiveError):
            await call
    async with uow:
        with pytest.raises(TransactionAlreadyActiveError):
            await uow.begin_transaction()
        await uow.orders.save_order(order)
        await uow.commit()
        assert not uow.is_active
        with pytest.raises(TransactionNotActiveError):
            await uow.orders.save_order(order)
    assert order.version == 1


async def test_decimals_and_times_come_back_digit_for_digit(store: EventStore):
    """What is read from row and tail equals what was saved, exponent and microsecond included."""
    point = datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)
    order = Order.create_limit_order(
        "A",
        D("100.000"),
        OrderSide.SELL,
        limit_price=D("0.00000001"),
        occurred_at=point,
        multiplier=D("50.0"),
    )
    await saved(store, order)
    async with store.unit_of_work() as uow:
        read = await uow.orders.get_order_by_id(order.id)
    assert read is not None
    assert str(read.quantity) == "100.000"
    assert str(read.limit_price) == str(order.limit_price)
    assert (str(read.multiplier), read.created_at) == ("50.0", point)
