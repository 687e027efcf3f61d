"""Where a method takes an entity's id, it takes the entity as well; one of another class is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from eventstore.domain import Instrument, InstrumentKind, Order, Portfolio, Position
from eventstore.errors import PortfolioNotFoundError, ReadOnlyError, RepositoryError, UnsavedChangesError
from eventstore.repositories import (
    PostgreSQLInstrumentRepository,
    PostgreSQLOrderRepository,
    PostgreSQLPortfolioRepository,
    PostgreSQLPositionRepository,
    interfaces,
)
from tests.contract.databases import (
    START,
    Database,
    StoreDatabase,
    Strategy,
    a_portfolio,
    a_position,
    an_order,
    minute,
    save,
    types,
)

Call = Callable[[Any, Any], Awaitable[Any]]

# Each method, of what class its id is, and what tells that it found the entity.
CALLS: dict[str, tuple[type[Any], Call, Callable[[Any], bool]]] = {
    "get_order_by_id": (
        Order,
        lambda uow, it: uow.orders.get_order_by_id(it),
        lambda found: isinstance(found, Order),
    ),
    "get_orders_by_parent": (
        Order,
        lambda uow, it: uow.orders.get_orders_by_parent(it),
        lambda found: len(found) == 1,
    ),
    "delete_order": (Order, lambda uow, it: uow.orders.delete_order(it), bool),
    "get_position_by_id": (
        Position,
        lambda uow, it: uow.positions.get_position_by_id(it),
        lambda found: isinstance(found, Position),
    ),
    "close_position": (Position, lambda uow, it: uow.positions.close_position(it, 151), bool),
    "delete_position": (Position, lambda uow, it: uow.positions.delete_position(it), bool),
    "get_position_by_symbol": (
        Portfolio,
        lambda uow, it: uow.positions.get_position_by_symbol("AAPL", portfolio_id=it),
        lambda found: isinstance(found, Position),
    ),
    "get_positions_by_portfolio": (
        Portfolio,
        lambda uow, it: uow.positions.get_positions_by_portfolio(it),
        lambda found: len(found) == 1,
    ),
    "get_portfolio_by_id": (
        Portfolio,
        lambda uow, it: uow.portfolios.get_portfolio_by_id(it),
        lambda found: isinstance(found, Portfolio),
    ),
    "delete_portfolio": (Portfolio, lambda uow, it: uow.portfolios.delete_portfolio(it), bool),
    "get_portfolio_summary": (
        Portfolio,
        lambda uow, it: uow.portfolios.get_portfolio_summary(it),
        lambda found: found.open_positions == 1,
    ),
    "create_portfolio_snapshot": (
        Portfolio,
        lambda uow, it: uow.portfolios.create_portfolio_snapshot(it, occurred_at=minute(5)),
        lambda found: found.open_positions == 1,
    ),
    "get_portfolio_history": (
        Portfolio,
        lambda uow, it: uow.portfolios.get_portfolio_history(it, START, minute(60)),
        lambda found: len(found) == 1,
    ),
    "get_instrument_by_id": (
        Instrument,
        lambda uow, it: uow.instruments.get_instrument_by_id(it),
        lambda found: isinstance(found, Instrument),
    ),
    "delete_instrument": (Instrument, lambda uow, it: uow.instruments.delete_instrument(it), bool),
    "get": (
        Strategy,
        lambda uow, it: uow.entities(Strategy).get(it),
        lambda found: isinstance(found, Strategy),
    ),
    "delete": (Strategy, lambda uow, it: uow.entities(Strategy).delete(it), bool),
}
WRITES = {name for name in CALLS if name.startswith(("delete", "close", "create"))}


def test_every_method_is_listed():
    """No method of a repository that takes an id is left out here."""
    taking = {
        name
        for protocol in (
            interfaces.IOrderRepository,
            interfaces.IPositionRepository,
            interfaces.IPortfolioRepository,
            interfaces.IInstrumentRepository,
            interfaces.IEntityRepository,
        )
        for name, method in vars(protocol).items()
        if any(
            each.endswith("_id")
            for each in getattr(method, "__annotations__", {})
            if each not in {"broker_order_id", "client_order_id", "list_id"}
        )
    }
    assert taking == set(CALLS)


async def _kept(database: Database) -> dict[type[Any], Any]:
    portfolio = a_portfolio()
    order_id = uuid4()  # its own parent, so that one order answers every call
    order, position = an_order(id=order_id, parent_id=order_id), a_position(portfolio_id=portfolio.id)
    strategy = Strategy(name="trend")
    instrument = Instrument(symbol="AAPL", kind=InstrumentKind.EQUITY, currency="USD")
    await save(database, portfolio, order, position, strategy, instrument)
    async with database.unit_of_work() as uow:
        await uow.portfolios.create_portfolio_snapshot(portfolio, occurred_at=minute(1))
    await database.catch_up()
    return {
        Order: order,
        Position: position,
        Portfolio: portfolio,
        Strategy: strategy,
        Instrument: instrument,
    }


@pytest.mark.parametrize("name", CALLS)
async def test_an_entity_stands_for_its_id(tables: Database, name: str):
    """In a Unit of Work, on a bare adapter, and of a point in time of the past."""
    kind, call, found = CALLS[name]
    entities = await _kept(tables)
    entity = entities[kind]
    async with tables.as_of(position=6) as past:
        if name in WRITES:
            with pytest.raises(ReadOnlyError):
                await call(past, entity)
        else:
            assert found(await call(past, entity))
    uow = tables.unit_of_work()
    await uow.begin_transaction()
    assert found(await call(uow, entity))
    await uow.rollback()

    class OnAdapter:
        """The repositories of an adapter, as a Unit of Work has them."""

        orders = PostgreSQLOrderRepository(tables.adapter())
        positions = PostgreSQLPositionRepository(tables.adapter())
        portfolios = PostgreSQLPortfolioRepository(tables.adapter())
        instruments = PostgreSQLInstrumentRepository(tables.adapter())

    if kind is not Strategy:
        assert found(await call(OnAdapter, entity))


@pytest.mark.parametrize("name", CALLS)
async def test_an_entity_of_another_class_is_refused(database: Database, name: str):
    """Its id is not looked up, and the error shows it in a few words."""
    kind, call, _ = CALLS[name]
    entities = await _kept(database)
    async with database.unit_of_work() as uow:
        for other, entity in entities.items():
            if other is kind:
                continue
            with pytest.raises(
                RepositoryError,
                match=f"an id must be a UUID or the {kind.__name__} itself, not <{other.__name__} ",
            ) as raised:
                await call(uow, entity)
            assert str(entity.id) in str(raised.value)
            assert len(str(raised.value)) < 300
        with pytest.raises(RepositoryError, match="itself, not 7"):
            await call(uow, 7)


async def test_an_entity_of_another_class_is_not_saved(database: Database):
    """Not in the repository of a user's own class either."""
    async with database.unit_of_work() as uow:
        for call in (uow.entities(Strategy).save, uow.entities(Strategy).update):
            with pytest.raises(RepositoryError, match="keeps Strategy entities, not Order"):
                await call(an_order())  # type: ignore[arg-type]


async def test_text_of_an_id_is_an_id(database: Database):
    """As before."""
    entities = await _kept(database)
    async with database.unit_of_work() as uow:
        found = await uow.orders.get_order_by_id(str(entities[Order].id))  # type: ignore[arg-type]
        assert found == entities[Order]


async def test_a_portfolio_that_is_not_there(database: Database):
    """The error has the id, not the entity."""
    portfolio = a_portfolio()
    async with database.unit_of_work() as uow:
        assert await uow.portfolios.get_portfolio_summary(portfolio) is None
        with pytest.raises(PortfolioNotFoundError) as raised:
            await uow.portfolios.create_portfolio_snapshot(portfolio)
    assert raised.value.entity_id == portfolio.id


@pytest.mark.parametrize("place", ["unit of work", "transaction", "call"])
async def test_changes_of_the_entity_that_was_given_are_not_lost(database: Database, place: str):
    """Another instance is changed by its id: what the given one has pending refuses the commit."""
    order = an_order()
    await save(database, order)
    order.submit("B-1")
    adapter = database.adapter()
    orders = PostgreSQLOrderRepository(adapter)
    with pytest.raises(UnsavedChangesError):  # noqa: PT012 - each of the three ends in it
        if place == "unit of work":
            async with database.unit_of_work() as uow:
                await uow.orders.delete_order(order)
        elif place == "transaction":
            async with adapter.transaction():
                await orders.delete_order(order)
        else:
            await orders.delete_order(order)
    assert await types(database, order.id) == ["OrderCreated"]


async def test_what_reads_the_log_takes_entities_too(database: Database):
    """The equity curve, a replay, and the states of many streams."""
    if not isinstance(database, StoreDatabase):
        pytest.skip("a store is needed")
    store = database.store
    entities = await _kept(database)
    assert len((await store.equity_curve(entities[Portfolio])).points) > 0
    assert [event.stream_id async for event in store.replay(streams=[entities[Order]])] == [
        entities[Order].id
    ]
    assert list(await store.rebuild_state(Order, ids=[entities[Order], uuid4()])) == [entities[Order].id]
    with pytest.raises(RepositoryError, match="the Portfolio itself"):
        await store.equity_curve(entities[Order])
    with pytest.raises(RepositoryError, match="the Order itself"):
        await store.rebuild_state(Order, ids=[entities[Position]])
