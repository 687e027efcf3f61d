"""A rebuild in place gives the live table the rows of the log, and leaves the table itself, with all that hangs on it, alone."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database import ConnectionFactory, MigrationManager, PostgreSQLAdapter
from eventstore.errors import RebuildError
from eventstore.log import EventLog
from eventstore.store import EventStore
from projections import OrdersProjection, PortfoliosProjection, PositionsProjection, Projection, Table
from projections.check import check, compare_with_fold, compare_with_rebuild
from projections.engine import ProjectionWorker
from projections.quarantine import list_quarantined
from projections.rebuild import Rebuilt, coordinator as rebuilding, rebuild
from projections.rebuild.new_table import beside_name
from tests.command_line import run
from tests.conftest import url_of
from tests.filled_log import fill_the_log
from tests.hit_projections import Hit, HitsByNumber, HitsByPrice, HitsOfNumber, hits
from tests.ordered_by_symbol import (
    Doubled,
    Impure,
    OrderedBySymbol,
    create_table,
    place,
    rows,
)
from tests.servers import Server

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig

D = Decimal


async def execute(store: EventStore, *statements: str) -> None:
    """Run statements as a user does."""
    async with store.connection.acquire() as connection:
        for statement in statements:
            await connection.execute(statement)


async def value(store: EventStore, query: str) -> Any:
    """The answer to a query."""
    async with store.connection.acquire() as connection:
        return await connection.fetchval(query)


async def test_only_rows_that_differ_are_changed_and_the_table_stays(store: EventStore):
    """A row too many goes, one that is missing comes, others are corrected; views, policies and keys are as they were."""
    await fill_the_log(store)
    await execute(
        store,
        "CREATE VIEW open_orders AS SELECT id FROM orders",
        "CREATE TABLE notes (id uuid REFERENCES orders (id))",
        "INSERT INTO notes SELECT id FROM orders ORDER BY id LIMIT 1",
        "CREATE FUNCTION symbols() RETURNS bigint BEGIN ATOMIC SELECT count(DISTINCT symbol) FROM orders; END",
        "DELETE FROM orders WHERE id = (SELECT max(id::text)::uuid FROM orders)",
        "UPDATE orders SET filled_quantity = filled_quantity + 1 WHERE id IN (SELECT id FROM orders ORDER BY id LIMIT 2)",
        "UPDATE positions SET cost = cost * 1.00",
        "INSERT INTO portfolios SELECT (jsonb_populate_record(p, jsonb_build_object('id', gen_random_uuid()))).* "
        "FROM portfolios AS p",
    )
    table = await value(store, "SELECT 'orders'::regclass::oid")
    with pytest.raises(RebuildError, match=r"view open_orders.*in_place=True, --in-place"):
        await rebuild(store.log, OrdersProjection())
    expected: list[tuple[Projection[Any], int, int]] = [
        (OrdersProjection(), 7, 3),
        (PositionsProjection(), 17, 17),
        (PortfoliosProjection(), 1, 1),
    ]
    for projection, count, changed in expected:
        rebuilt = await rebuild(store.log, projection, in_place=True)
        assert (rebuilt.rows, rebuilt.rows_changed) == (count, changed)
        assert (await compare_with_fold(store.log, projection)).is_equal
        assert (await rebuild(store.log, projection, in_place=True)).rows_changed == 0
    assert await value(store, "SELECT 'orders'::regclass::oid") == table
    assert await value(store, "SELECT count(*) FROM open_orders") == 7
    assert await value(store, "SELECT count(*) FROM pg_class WHERE relname ~ '__rebuild'") == 0
    assert (await check(store.log, [OrdersProjection()])).is_sound


async def test_all_that_belongs_to_the_projection_goes_with_it(store: EventStore):
    """A new version, several processes, keys in quarantine and the epochs: as where the table is replaced."""
    await create_table(store)
    await place(store, 1, 2)
    await place(store, 13, symbol="BAD")
    old = ProjectionWorker(store.log, OrderedBySymbol())
    await old.catch_up(3)
    broken = Doubled()
    broken.poison = frozenset({D(13)})
    rebuilt = await rebuild(store.log, broken, in_place=True)
    assert (rebuilt.version, rebuilt.quarantined, rebuilt.rows_changed) == (2, 1, 2)
    assert await rows(store) == {"ES": (4, D(3))}
    assert [held.key for held in await list_quarantined(store.log)] == ['["BAD"]']
    assert (await rebuild(store.log, Doubled(), in_place=True, processes=2)).rows_changed == 1
    assert await list_quarantined(store.log) == []
    await place(store, 4)
    await ProjectionWorker(store.log, Doubled()).catch_up(4)
    assert await rows(store) == {"ES": (6, D(7)), "BAD": (2, D(13))}


async def test_numbers_are_the_same_to_the_last_digit(store: EventStore):
    """A row, or a key, that is equal and written otherwise is corrected: 1.5 is not 1.50."""
    await execute(store, HitsByPrice.table.create())
    await store.log.append(hits(Hit(number=1, price=D("1.50")), Hit(number=2, price=D(2))))
    await rebuild(store.log, HitsByPrice(), in_place=True)
    await execute(store, "UPDATE hits SET price = 1.5 WHERE price = 1.5")
    assert (await rebuild(store.log, HitsByPrice(), in_place=True)).rows_changed == 1
    assert await value(store, "SELECT array_agg(price::text ORDER BY price) FROM hits") == ["1.50", "2"]


async def test_rows_change_places_under_a_rule_between_them(store: EventStore):
    """Two rows that have each other's value of a unique column are corrected, though neither can be the first."""
    await execute(store, HitsByNumber.table.create(), "CREATE UNIQUE INDEX hits_once ON hits (hits)")
    await store.log.append(hits(Hit(number=1), Hit(number=2), Hit(number=2)))
    await rebuild(store.log, HitsByNumber(), in_place=True)
    await execute(
        store,
        "UPDATE hits SET hits = 3 WHERE number = 1",
        "UPDATE hits SET hits = 1 WHERE number = 2",
        "UPDATE hits SET hits = 2 WHERE number = 1",
    )
    await rebuild(store.log, HitsByNumber(), in_place=True)
    assert await value(store, "SELECT array_agg(number ORDER BY hits) FROM hits") == [1, 2]


async def test_columns_of_others_keep_their_values(store: EventStore):
    """What the row's model does not have is not the projection's to change."""
    await create_table(store)
    await place(store, 1)
    await rebuild(store.log, OrderedBySymbol())
    await execute(store, "ALTER TABLE ordered ADD note text", "UPDATE ordered SET note = 'watch', orders = 9")
    assert (await rebuild(store.log, OrderedBySymbol(), in_place=True)).rows_changed == 1
    assert await value(store, "SELECT note || orders FROM ordered") == "watch1"


async def test_a_trigger_that_changes_rows_is_found(store: EventStore):
    """The live table is held to the proved one after the change: where it differs, nothing is changed."""
    await create_table(store)
    await place(store, 1)
    await rebuild(store.log, OrderedBySymbol())
    await execute(
        store,
        "UPDATE ordered SET orders = 5",
        "CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN NEW.orders := NEW.orders + 1; RETURN NEW; END'",
        "CREATE TRIGGER more BEFORE UPDATE ON ordered FOR EACH ROW EXECUTE FUNCTION more()",
    )
    with pytest.raises(
        RebuildError, match=r"1 row\(s\) of table ordered have other values than were written"
    ):
        await rebuild(store.log, OrderedBySymbol(), in_place=True)
    assert await rows(store) == {"ES": (5, D(1))}
    await execute(store, "DROP TRIGGER more ON ordered")
    await rebuild(store.log, OrderedBySymbol(), in_place=True)
    assert await rows(store) == {"ES": (1, D(1))}


async def test_children_and_proofs_are_refused_as_ever(store: EventStore):
    """Rows that are another table's as well cannot be changed here; what cannot be proved changes nothing."""
    await create_table(store)
    await place(store, 1)
    await ProjectionWorker(store.log, OrderedBySymbol()).catch_up(1)
    with pytest.raises(RebuildError, match=r"1 row\(s\) differ"):
        await rebuild(store.log, Impure(), in_place=True)
    assert await rows(store) == {"ES": (1, D(1))}
    await execute(store, "CREATE TABLE more () INHERITS (ordered)")
    with pytest.raises(RebuildError, match="child more"):
        await rebuild(store.log, OrderedBySymbol(), in_place=True)


async def test_what_one_way_has_left_the_other_begins_anew(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """A table beside that is to take the live one's place is logged, one whose rows are copied is not: neither serves both."""
    await create_table(store)
    await place(store, 1, 2)

    async def stop(*_: object) -> None:
        raise ZeroDivisionError

    for in_place in (False, True, True):
        with monkeypatch.context() as patched:
            patched.setattr(rebuilding, "prove", stop)
            with pytest.raises(ZeroDivisionError):
                await rebuild(store.log, OrderedBySymbol(), in_place=in_place)
        kind = await value(
            store, "SELECT relpersistence::text FROM pg_class WHERE relname = 'ordered__rebuild'"
        )
        assert kind == ("u" if in_place else "p")
    rebuilt = await rebuild(store.log, OrderedBySymbol())
    assert rebuilt.rows_changed is None
    assert await rows(store) == {"ES": (2, D(3))}
    assert await value(store, "SELECT relpersistence::text FROM pg_class WHERE relname = 'ordered'") == "p"


async def test_readers_go_on_and_writers_of_rows_are_waited_for(store: EventStore):
    """A transaction that has read the table is no hindrance; one that has written to it is, and is named."""
    await create_table(store)
    await place(store, 1)
    await execute(store, "INSERT INTO ordered VALUES ('XX', 1, 1, 1)")
    async with store.connection.acquire() as connection:
        async with connection.transaction(isolation="repeatable_read"):
            assert await connection.fetchval("SELECT count(*) FROM ordered") == 1
            assert (await rebuild(store.log, OrderedBySymbol(), in_place=True)).rows_changed == 2
            assert await connection.fetchval("SELECT symbol FROM ordered") == "XX"
        async with connection.transaction():
            await connection.execute("UPDATE ordered SET orders = 7")
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            with pytest.raises(RebuildError, match=f"by backend {pid} "):
                await rebuild(store.log, OrderedBySymbol(), in_place=True, swap_timeout_s=0.1)
    assert (await rebuild(store.log, OrderedBySymbol(), in_place=True)).rows_changed == 1
    assert await rows(store) == {"ES": (1, D(1))}


async def test_the_command(migrated_config: DatabaseConfig, store: EventStore):
    """`--in-place` says how many rows it has changed; with what does not rebuild it is refused."""
    await place(store, 1)
    await execute(store, "CREATE VIEW all_orders AS SELECT * FROM orders")
    url = url_of(migrated_config)
    done = await asyncio.to_thread(run, "rebuild", "orders", "--in-place", "--url", url)
    assert done.returncode == 0, done.stderr
    assert ", 1 rows changed in place" in done.stdout
    refused = await asyncio.to_thread(run, "rebuild", "orders", "--in-place", "--compare", "--url", url)
    assert (refused.returncode, "--in-place" in refused.stderr) == (2, True)


async def test_a_crash_of_the_server_leaves_nothing_half_built(monkeypatch: pytest.MonkeyPatch):
    """The crash empties the table beside, not the note of how far it was built: the next rebuild begins at nothing."""

    async def build(log: EventLog) -> Rebuilt:
        return await rebuild(log, OrderedBySymbol(), in_place=True)

    async def stop(*_: object) -> None:
        raise ZeroDivisionError

    with Server() as server:
        async with await ConnectionFactory.create_connection(server.config()) as connection:
            adapter = PostgreSQLAdapter(connection)
            await MigrationManager(adapter).migrate_to_latest()
            await adapter.execute(OrderedBySymbol.table.create())
            store = EventStore.of(connection)
            await place(store, 1, 2)
            await place(store, 3, symbol="NQ")
            with monkeypatch.context() as patched:
                patched.setattr(rebuilding, "prove", stop)
                with pytest.raises(ZeroDivisionError):
                    await build(store.log)
            assert await value(store, "SELECT count(*) FROM ordered__rebuild") == 2
            await asyncio.to_thread(server.stop, "immediate")
            await asyncio.to_thread(server.start)
            assert await value(store, "SELECT count(*) FROM ordered__rebuild") == 0
            assert await value(store, "SELECT position FROM projection_rebuilds") == 3
            assert (await build(store.log)).rows == 2
            assert await rows(store) == {"ES": (2, D(3)), "NQ": (1, D(3))}


async def test_a_table_of_the_longest_name_is_rebuilt(store: EventStore):
    """The tables beside have names of their own, however long the live one's is, and however alike another's."""
    names = [("é" * 31) + end for end in "ab"]

    class One(HitsByNumber):
        name = "one"
        table = Table(names[0], row=HitsOfNumber, key=("number",))

    class Other(HitsByNumber):
        name = "other"
        table = Table(names[1], row=HitsOfNumber, key=("number",))

    await store.log.append(hits(Hit(number=1), Hit(number=2)))
    for projection in (One(), Other()):
        await execute(store, projection.table.create())
        for in_place in (False, True):
            assert (await rebuild(store.log, projection, in_place=in_place)).rows == 2
        assert (await compare_with_rebuild(store.log, projection)).rows_equal == 2
    assert beside_name(One()) != beside_name(Other())
