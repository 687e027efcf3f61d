"""Rows of the read tables that somebody has altered: how far a load takes them for truth."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from eventstore import EventStore, Order, OrderSide
from eventstore.database import PostgreSQLAdapter

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig


async def folded_order(config: DatabaseConfig) -> Order:
    """An order of two events, folded into its row."""
    order = Order.create_market_order("ES", Decimal(10), OrderSide.BUY)
    order.submit("B-1")
    async with EventStore.open(config) as store:
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(order)
        await store.wait_for(await store.log.head())
    return order


@pytest.mark.parametrize(
    "change",
    ["version = 7", "version = 1", "last_position = last_position + 1000", "last_position = 1, version = 2"],
)
async def test_a_row_that_its_stream_contradicts_is_not_read(
    migrated_config: DatabaseConfig, caplog: pytest.LogCaptureFixture, change: str
):
    """A row at a version or a position that the stream has not is left aside: the stream is folded, and the log says so."""
    order = await folded_order(migrated_config)
    async with EventStore.open(migrated_config, workers=False) as store:
        await PostgreSQLAdapter(store.connection).execute(f"UPDATE orders SET {change}, quantity = 1000000")
        with caplog.at_level(logging.ERROR, logger="eventstore"):
            async with store.unit_of_work() as uow:
                loaded = await uow.orders.get_order_by_id(order.id)
        assert loaded is not None
        assert (loaded.quantity, loaded.version) == (Decimal(10), 2)
        assert "does not match the log" in caplog.text


async def test_strict_loads_fold_the_stream(migrated_config: DatabaseConfig):
    """With `loads="stream"` an entity is what its stream says, whatever its row says, loaded or listed."""
    order = await folded_order(migrated_config)
    async with EventStore.open(migrated_config.replace(loads="stream"), workers=False) as store:
        await PostgreSQLAdapter(store.connection).execute("UPDATE orders SET quantity = 1000000")
        async with store.unit_of_work() as uow:
            loaded = await uow.orders.get_order_by_id(order.id)
            assert loaded is not None
            assert loaded.quantity == Decimal(10)
        async with store.unit_of_work() as uow:
            (listed,) = await uow.orders.get_orders_by_symbol("ES")
            assert (listed.quantity, listed.version) == (Decimal(10), 2)
            listed.cancel("enough")
            await uow.orders.update_order(listed)
        await PostgreSQLAdapter(store.connection).execute("UPDATE orders SET symbol = 'NQ'")
        async with store.unit_of_work() as uow:
            assert await uow.orders.get_orders_by_symbol("NQ") == []


async def test_a_row_that_fits_its_stream_is_trusted(migrated_config: DatabaseConfig):
    """The other values of a row are not compared with the log by a load: `check` does that, and `loads="stream"` needs no row."""
    order = await folded_order(migrated_config)
    async with EventStore.open(migrated_config, workers=False) as store:
        await PostgreSQLAdapter(store.connection).execute("UPDATE orders SET quantity = 1000000")
        async with store.unit_of_work() as uow:
            loaded = await uow.orders.get_order_by_id(order.id)
    assert loaded is not None
    assert loaded.quantity == Decimal(1_000_000)
