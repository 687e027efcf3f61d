"""A store is opened by `await` or by `async with`, by a configuration or by a URL, and closed only by its user."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from eventstore import ConnectionFactory, DatabaseConfig, EventStore, Order, PostgreSQLAdapter
from eventstore.errors import ConfigurationError, NotMigratedError, RepositoryError
from eventstore.repositories import PostgreSQLUnitOfWorkFactory
from eventstore.testing import InMemoryUnitOfWorkFactory
from eventstore.testing.scratch import scratch_database

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def url_of(config: DatabaseConfig) -> str:
    """A URL of a database on a Unix socket, or on an address."""
    where = f"?host={config.host}&port={config.port}" if config.host.startswith("/") else ""
    address = "" if where else f"{config.host}:{config.port}"
    return f"postgresql://{config.user}@{address}/{config.database}{where}"


async def works(store: EventStore) -> bool:
    """Whether the store can be read."""
    async with store.unit_of_work() as uow:
        return await uow.orders.get_active_orders() == []


async def awaited(config: DatabaseConfig) -> EventStore:
    return await EventStore.open(config)


async def entered_by_hand(config: DatabaseConfig) -> EventStore:
    return await EventStore.open(config).__aenter__()


async def of_a_url(config: DatabaseConfig) -> EventStore:
    return await EventStore.open(url_of(config), workers=False)


@pytest.mark.parametrize("way", [awaited, entered_by_hand, of_a_url])
async def test_an_open_store_lives_until_it_is_closed(
    migrated_config: DatabaseConfig, way: Callable[[DatabaseConfig], Awaitable[EventStore]]
):
    """However it was opened, nothing that is collected closes it; closing twice does nothing more."""
    before = asyncio.all_tasks()
    store = await way(migrated_config)
    gc.collect()
    await asyncio.sleep(0)
    assert await works(store)
    assert not store.is_closed
    await store.close()
    await store.close()
    assert store.is_closed
    assert asyncio.all_tasks() == before


async def test_a_store_closes_at_the_end_of_a_block(migrated_config: DatabaseConfig):
    """Be it the opening or the open store that is entered; also where an error leaves the block."""
    async with EventStore.open(migrated_config, workers=False) as first:
        assert await works(first)
    async with await EventStore.open(migrated_config, workers=False) as second:
        assert await works(second)
    with pytest.raises(ZeroDivisionError):
        async with EventStore.open(migrated_config, workers=False) as third:
            raise ZeroDivisionError
    assert (first.is_closed, second.is_closed, third.is_closed) == (True, True, True)


async def test_a_store_that_cannot_be_opened_leaves_nothing(database_config: DatabaseConfig):
    """Its connections are closed, and no task is left."""
    for opening in (EventStore.open(database_config), EventStore.open(database_config, workers=False)):
        with pytest.raises(NotMigratedError):
            await opening
        with pytest.raises(NotMigratedError):
            async with opening:
                pytest.fail("it was opened")
    assert ConnectionFactory.default() is None


async def test_what_is_not_opened_says_how(migrated_config: DatabaseConfig):
    """The two mistakes of a first day: no await, and one opening for two blocks at once."""
    opening = EventStore.open(migrated_config, workers=False)
    with pytest.raises(
        AttributeError, match=r"EventStore.open\(...\) is not open yet, so it has no 'unit_of_work'"
    ):
        opening.unit_of_work()
    async with opening:
        with pytest.raises(ConfigurationError, match="was entered already"):
            await opening.__aenter__()
    async with opening as again:
        assert await works(again)


async def test_a_moment_of_the_past_is_opened_alike(migrated_config: DatabaseConfig):
    """`as_of` can be awaited too, on a server and in memory; the past is read until `end`."""
    async with EventStore.open(migrated_config, workers=False) as store:
        for made in (store, InMemoryUnitOfWorkFactory()):
            past = await made.as_of(position=0)
            gc.collect()
            await asyncio.sleep(0)
            assert await past.orders.get_active_orders() == []
            past.end()
            with pytest.raises(RepositoryError, match="has ended"):
                await past.orders.get_active_orders()
            async with made.as_of(position=0) as past:
                assert (
                    await past.entities(Order).get(
                        Order.model_fields["id"].get_default(call_default_factory=True)
                    )
                    is None
                )


async def test_a_url_is_understood_wherever_a_configuration_is_taken(database_config: DatabaseConfig):
    """By the factory of connections, by scratch databases; what is neither is refused without being repeated."""
    connection = await ConnectionFactory.create_connection(url_of(database_config))
    assert connection.config.database == database_config.database
    await connection.close()
    async with scratch_database(url_of(database_config)) as scratch:
        assert not scratch.connection.is_closed
    for wrong in (
        5432,
        {"password": "secret"},
        b"postgresql://u:secret@h/d",
        "localhost/secret",
        "mysql://u:secret@h/d",
    ):
        with pytest.raises(ConfigurationError) as raised:
            await ConnectionFactory.create_connection(wrong)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError):
            await EventStore.open(wrong)  # type: ignore[arg-type]
        assert "secret" not in str(raised.value)


def test_an_address_is_no_connection():
    """What works on an open connection says so where it is given an address."""
    for address in ("postgresql://trader@localhost/trading", DatabaseConfig(host="localhost")):
        for taker in (PostgreSQLAdapter, PostgreSQLUnitOfWorkFactory, EventStore.of):
            with pytest.raises(ConfigurationError, match="takes an open connection"):
                taker(address)  # type: ignore[arg-type]
