"""A pool of a user's own whose driver passes values otherwise: the library writes and reads past that, or says so first."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

import projections
from eventstore.database import ConnectionFactory, PostgreSQLAdapter, plain
from eventstore.database.connecting import connect_arguments
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import ProjectionError, TypeCodecError
from eventstore.log.shared import log_of
from eventstore.private_names import asyncpg_names
from eventstore.repositories import PostgreSQLOrderRepository
from projections import OrdersProjection
from projections.fresh_rows import FreshRows
from projections.rebuild import rebuild
from tools.lint.sql_header import parse
from tools.statements import STATEMENTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.database import DatabaseConfig

TEXT: dict[str, tuple[Any, Any]] = {
    "jsonb": (json.dumps, json.loads),
    "json": (json.dumps, json.loads),
    "uuid": (str, str),
    "numeric": (str, float),
    "timestamptz": (str, str),
    "text": (lambda value: value.upper(), lambda value: value[::-1]),
    "int8": (str, float),
    "int4": (str, str),
    "int2": (str, str),
    "bool": (str, str),
    "date": (str, str),
    "bytea": (bytes.hex, str),
    "float8": (str, Decimal),
    "varchar": (str, str.upper),
}
IN_ARRAYS = {"int8"}
"""Of these an append returns an array, and asyncpg cannot go past the codec of an array's elements."""
ENUMS = ("order_side", "order_status", "order_type")


async def set_codecs(connection: Any, names: tuple[str, ...]) -> None:
    """Set codecs on a connection, as a pool's `init` does."""
    for name in names:
        schema = "public" if name in ENUMS else "pg_catalog"
        encode, decode = TEXT.get(name, (str, len))
        await connection.set_type_codec(name, encoder=encode, decoder=decode, schema=schema, format="text")


class Row(asyncpg.Record):  # type: ignore[misc]  # asyncpg has no types
    """A class of records of a user's, which is read as a mapping: by names, and as names where it is iterated over."""

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            raise TypeError(key)
        return super().__getitem__(key)

    def __iter__(self) -> Any:
        return iter(self.keys())


@asynccontextmanager
async def pool_of(config: DatabaseConfig, *names: str, **options: Any) -> AsyncIterator[Any]:
    """A pool of a user's own whose connections have codecs."""
    arguments = connect_arguments(config)
    async with asyncpg.create_pool(
        **arguments,
        min_size=1,
        max_size=2,
        init=lambda connection: set_codecs(connection, names),
        **options,
    ) as pool:
        yield pool


def new_order(symbol: str) -> Order:
    """An order with a value of every kind that its row has."""
    order = Order.create_limit_order(symbol, Decimal("1.50"), OrderSide.BUY, limit_price=Decimal("2.25"))
    order.submit("B-1")
    order.fill(Decimal("0.50"), Decimal("2.20"), "E-1", occurred_at=datetime(2026, 3, 2, tzinfo=UTC))
    return order


def as_seen(order: Order | None) -> Any:
    """What an order is, to the last digit."""
    return None if order is None else order.model_dump()


@pytest.mark.parametrize(
    "names",
    [*((name,) for name in TEXT if name not in IN_ARRAYS), ENUMS, (*sorted(TEXT.keys() - IN_ARRAYS), *ENUMS)],
    ids="+".join,
)
async def test_a_codec_changes_nothing_of_what_is_written_and_read(
    migrated_config: DatabaseConfig, names: tuple[str, ...]
):
    """Whatever type it is for; the reader without codecs has what the writer with them wrote, and the other way round."""
    placed = new_order("WITH")
    async with pool_of(migrated_config, *names) as pool, pool_of(migrated_config) as other:
        orders = PostgreSQLOrderRepository(PostgreSQLAdapter(pool))
        bare = PostgreSQLOrderRepository(PostgreSQLAdapter(other))
        await orders.save_order(placed)
        for each in (orders, bare):
            assert as_seen(await each.get_order_by_id(placed.id)) == as_seen(placed)
            assert [as_seen(one) for one in await each.get_orders_by_symbol("WITH")] == [as_seen(placed)]
        log = log_of(PostgreSQLAdapter(pool))
        assert [event.position async for event in log.read_all()] == [1, 2, 3]
        assert [one.event for one in await log.read_stream(placed.id)] == [
            one.event for one in await log_of(PostgreSQLAdapter(other)).read_stream(placed.id)
        ]


async def test_a_codec_that_passes_bytes_changes_nothing(migrated_config: DatabaseConfig):
    """As one for jsonb does that speeds it up: the library's text would become a JSON string in it, unnoticed."""

    async def init(connection: Any) -> None:
        await connection.set_type_codec(
            "jsonb",
            schema="pg_catalog",
            format="binary",
            encoder=lambda value: b"\x01" + json.dumps(value).encode(),
            decoder=lambda value: json.loads(value[1:]),
        )

    placed = new_order("ES")
    async with asyncpg.create_pool(
        **connect_arguments(migrated_config), min_size=1, max_size=1, init=init
    ) as pool:
        adapter = PostgreSQLAdapter(pool)
        orders = PostgreSQLOrderRepository(adapter)
        await orders.save_order(placed)
        assert as_seen(await orders.get_order_by_id(placed.id)) == as_seen(placed)
        assert (
            await adapter.fetch_value("SELECT count(*) FROM events WHERE jsonb_typeof(data) = 'object'") == 3
        )


async def test_a_class_of_records_changes_nothing(migrated_config: DatabaseConfig):
    """A pool's `record_class` is for its owner's statements."""
    placed = new_order("ES")
    async with pool_of(migrated_config, record_class=Row) as pool:
        adapter = PostgreSQLAdapter(pool)
        orders = PostgreSQLOrderRepository(adapter)
        await orders.save_order(placed)
        assert as_seen(await orders.get_order_by_id(placed.id)) == as_seen(placed)
        assert isinstance(await adapter.fetch_one("SELECT 1 AS one"), Row)


async def test_a_users_own_statements_have_their_codecs(migrated_config: DatabaseConfig):
    """Through the same adapter, in a transaction and outside."""
    async with pool_of(migrated_config, "jsonb") as pool:
        adapter = PostgreSQLAdapter(pool)
        await PostgreSQLOrderRepository(adapter).save_order(new_order("ES"))
        query = "SELECT data FROM events ORDER BY position LIMIT 1"
        assert (await adapter.fetch_value(query))["symbol"] == "ES"
        async with adapter.transaction():
            assert (await adapter.fetch_value(query))["symbol"] == "ES"
            assert await adapter.fetch_value("SELECT $1::jsonb", {"a": [1]}) == {"a": [1]}


@pytest.mark.parametrize("own_pool", [True, False])
async def test_repositories_in_a_transaction_with_codecs(migrated_config: DatabaseConfig, own_pool: bool):
    """Set in the transaction itself, on a pool of the user's and on one of the library's."""
    placed = new_order("ES")
    async with (
        pool_of(migrated_config) as pool,
        await ConnectionFactory.create_connection(migrated_config) as connection,
    ):
        adapter = PostgreSQLAdapter(pool if own_pool else connection)
        orders = PostgreSQLOrderRepository(adapter)
        async with adapter.transaction():
            await set_codecs(adapter.transaction_connection, tuple(TEXT.keys() - IN_ARRAYS))
            await orders.save_order(placed)
            assert as_seen(await orders.get_order_by_id(placed.id)) == as_seen(placed)
            await adapter.execute("SELECT 1")
        assert as_seen(await orders.get_order_by_id(placed.id)) == as_seen(placed)


@pytest.mark.parametrize(
    "codec", [(str, float), (lambda value: str(value + 1), int), (lambda value: value.x, int)]
)
async def test_an_append_whose_positions_would_change_is_refused(migrated_config: DatabaseConfig, codec: Any):
    """Before it writes, in a transaction too, whatever the codec does; on a connection without it, it is written."""
    encode, decode = codec
    async with pool_of(migrated_config) as pool:
        adapter = PostgreSQLAdapter(pool)
        orders = PostgreSQLOrderRepository(adapter)
        async with adapter.transaction():
            await adapter.transaction_connection.set_type_codec(
                "int8", encoder=encode, decoder=decode, schema="pg_catalog", format="text"
            )
            with pytest.raises(TypeCodecError, match="codec for int8") as caught:
                await orders.save_order(new_order("ES"))
            assert caught.value.types == ("int8",)
            assert await adapter.fetch_value("SELECT count(*)::int4 FROM events") == 0
    async with pool_of(migrated_config) as pool:
        await PostgreSQLOrderRepository(PostgreSQLAdapter(pool)).save_order(new_order("ES"))


async def test_a_worker_whose_times_would_change_ends_with_the_error(migrated_config: DatabaseConfig):
    """Times of many rows are passed as an array; nothing is written through a codec that has them as text."""
    async with pool_of(migrated_config, "timestamptz") as pool:
        adapter = PostgreSQLAdapter(pool)
        await PostgreSQLOrderRepository(adapter).save_order(new_order("ES"))
        async with projections.run(adapter, [OrdersProjection()]) as running:
            with pytest.raises(ProjectionError) as caught:
                await running.wait_for(1)
        assert isinstance(caught.value.__cause__, TypeCodecError)
        assert await adapter.fetch_value("SELECT count(*) FROM orders") == 0


async def test_projections_are_folded_on_a_pool_with_codecs(migrated_config: DatabaseConfig):
    """Row by row, and many new ones at once, which COPY takes as text; numbers are passed as text too."""
    placed = [new_order(f"S{number}") for number in range(120)]
    async with pool_of(migrated_config, "jsonb", "json", "text", "numeric", *ENUMS) as pool:
        adapter = PostgreSQLAdapter(pool)
        orders = PostgreSQLOrderRepository(adapter)
        for order in placed:
            await orders.save_order(order)
        log = log_of(adapter)
        async with projections.run(adapter, [OrdersProjection()]) as running:
            await running.wait_for(await log.head())
        rows = await orders.get_active_orders(consistency="eventual")
        assert sorted(map(as_seen, rows), key=str) == sorted(map(as_seen, placed), key=str)
        assert await FreshRows(log, OrdersProjection()).get(placed[0].id)


async def test_what_cannot_go_past_codecs_says_so_before_it_writes(migrated_config: DatabaseConfig):
    """One line names the types and what to do; the transaction that it is met in can go on."""
    async with pool_of(migrated_config, "jsonb", "text") as pool, pool_of(migrated_config) as other:
        adapter = PostgreSQLAdapter(pool)
        await PostgreSQLOrderRepository(adapter).save_order(new_order("ES"))
        with pytest.raises(TypeCodecError, match=r"codec for jsonb, text.*DatabaseConnection") as caught:
            await rebuild(log_of(adapter), OrdersProjection())
        assert set(caught.value.types) >= {"jsonb", "text"}
        assert "\n" not in str(caught.value)
        async with pool.acquire() as connection, connection.transaction():
            one = plain.PlainConnection(connection)
            with pytest.raises(TypeCodecError):
                await one.copy_records_to_table("notes", records=[("a",)])
            with pytest.raises(TypeCodecError):
                [row async for row in one.cursor("SELECT 1")]
            with pytest.raises(TypeCodecError):
                await one.prepare("SELECT 1")
            with pytest.raises(TypeCodecError):
                await one.executemany("SELECT $1::text", [("a",)])
            assert await one.fetchval("SELECT $1::text", "a") == "a"
        assert (await rebuild(log_of(PostgreSQLAdapter(other)), OrdersProjection())).rows == 1


async def test_without_a_way_past_codecs_every_statement_is_refused(
    migrated_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
):
    """Should asyncpg lose it: the log stays empty, and a pool without codecs still works."""
    for module in (asyncpg_names, plain):
        monkeypatch.setattr(module, "CAN_IGNORE_CODECS", False)
    monkeypatch.setattr(asyncpg.Connection, "_execute", without_codecs_ignored(asyncpg.Connection._execute))
    async with pool_of(migrated_config, "jsonb") as pool, pool_of(migrated_config) as other:
        with pytest.raises(TypeCodecError):
            await PostgreSQLOrderRepository(PostgreSQLAdapter(pool)).save_order(new_order("ES"))
        placed = new_order("ES")
        orders = PostgreSQLOrderRepository(PostgreSQLAdapter(other))
        await orders.save_order(placed)
        assert as_seen(await orders.get_order_by_id(placed.id)) == as_seen(placed)
        assert await other.fetchval("SELECT count(*) FROM events") == 3


def without_codecs_ignored(execute: Any) -> Any:
    """Return the method of asyncpg, without the argument."""

    def run(self: Any, query: str, args: Any, limit: int, timeout: Any, **options: Any) -> Any:
        return execute(self, query, args, limit, timeout, **options)

    return run


def test_a_sample_of_every_type_is_tried():
    """Each type that a statement takes or gives is among those that are tried."""
    aliases = {
        "timestamptz": "timestamp with time zone",
        "int8": "bigint",
        "int4": "integer",
        "int2": "smallint",
        "float8": "double precision",
        "float4": "real",
        "bool": "boolean",
    }
    sampled = {aliases.get(name, name) for name in plain._SAMPLES}
    for statement, text in STATEMENTS.items():
        for parameter in parse(text).parameters:
            name = parameter.rest.replace("[]", "")
            assert any(name == one or name.startswith(one + " ") for one in sampled), (statement, parameter)


async def test_a_changed_session_of_a_pool_of_ones_own_is_not_given_back(migrated_config: DatabaseConfig):
    """Through the adapter: the pool makes a new connection, with its `init`."""
    async with pool_of(migrated_config, "jsonb") as pool:
        adapter = PostgreSQLAdapter(pool)
        for statement in ("SET ROLE pg_monitor", "CREATE TEMP TABLE events (a int)", "DEALLOCATE ALL"):
            await adapter.execute(statement)
            async with adapter.transaction():
                await adapter.execute(statement)
        placed = new_order("ES")
        orders = PostgreSQLOrderRepository(adapter)
        for _ in range(3):
            assert await adapter.fetch_value("SELECT current_user::text") == migrated_config.user
            assert await adapter.fetch_value("""SELECT '{"a": 1}'::jsonb""") == {"a": 1}
        await orders.save_order(placed)
        assert as_seen(await orders.get_order_by_id(placed.id)) == as_seen(placed)
