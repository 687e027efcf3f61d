"""A rebuilt table takes the place of the live one: proved, whole, with its names and rights, while everything goes on."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database import PostgreSQLAdapter
from eventstore.errors import CheckpointMovedError, ProjectionVersionError, RebuildError
from projections import OrdersProjection, PortfoliosProjection, PositionsProjection, Projection
from projections.check import check, compare_with_fold, compare_with_rebuild
from projections.engine import ProjectionRunner, ProjectionWorker, set_partitions
from projections.quarantine import discard, list_quarantined
from projections.rebuild import coordinator as rebuilding, rebuild
from projections.rebuild.builder import Build
from projections.rebuild.lease import RebuildLease
from projections.rebuild.proof import prove
from tests.filled_log import fill_the_log
from tests.migrations.schema import schema
from tests.ordered_by_symbol import Doubled, Impure, OrderedBySymbol, create_table, place, rows

if TYPE_CHECKING:
    from eventstore.core.event import RecordedEvent
    from eventstore.store import EventStore

D = Decimal


async def test_a_rebuild_replaces_the_table(store: EventStore):
    """A table with rows that are wrong is right after its rebuild, with the same schema, rights and owner."""
    await fill_the_log(store)
    async with store.connection.acquire() as connection:
        await connection.execute(
            "DELETE FROM orders WHERE id = (SELECT min(id::text)::uuid FROM orders); "
            "UPDATE orders SET filled_quantity = filled_quantity + 1; "
            "GRANT SELECT ON orders TO PUBLIC; GRANT UPDATE (symbol) ON orders TO PUBLIC"
        )
        rights = await connection.fetch(RIGHTS)
    before = await schema(PostgreSQLAdapter(store.connection))
    expected: list[tuple[Projection[Any], int]] = [
        (OrdersProjection(), 7),
        (PositionsProjection(), 17),
        (PortfoliosProjection(), 1),
    ]
    for projection, count in expected:
        rebuilt = await rebuild(store.log, projection)
        assert (rebuilt.rows, rebuilt.position) == (count, await store.log.head())
        assert (await compare_with_fold(store.log, projection)).is_equal
        assert (await compare_with_rebuild(store.log, projection)).is_equal
        assert await ProjectionRunner(store.log, projection).folded_through() == await store.log.head()
    assert await schema(PostgreSQLAdapter(store.connection)) == before
    async with store.connection.acquire() as connection:
        assert await connection.fetch(RIGHTS) == rights
        assert await connection.fetchval("SELECT count(*) FROM projection_rebuilds") == 0
    await place(store, 5)
    worker = ProjectionWorker(store.log, OrdersProjection())
    while await worker.run_once():
        pass
    assert (await compare_with_fold(store.log, OrdersProjection())).rows_equal == 8


RIGHTS = """
    SELECT relname, (SELECT array_agg(right_of::text ORDER BY right_of::text) FROM unnest(relacl) AS right_of),
        pg_get_userbyid(relowner), reloptions::text,
        (SELECT array_agg(attname || attacl::text) FROM pg_attribute WHERE attrelid = one.oid AND attacl IS NOT NULL)
    FROM pg_class AS one WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'i') ORDER BY relname
"""


async def test_what_was_never_folded_is_built(store: EventStore):
    """A rebuild is the quickest way to fold a projection for the first time; a worker goes on from there."""
    await create_table(store)
    await place(store, 1, 2, 3)
    await rebuild(store.log, OrderedBySymbol())
    assert await rows(store) == {"ES": (3, D(6))}
    await place(store, 4)
    await ProjectionWorker(store.log, OrderedBySymbol()).catch_up(4)
    assert await rows(store) == {"ES": (4, D(10))}


async def test_an_empty_log_gives_an_empty_table(store: EventStore):
    """There is nothing to fold, and a row that should not be there goes."""
    await create_table(store)
    async with store.connection.acquire() as connection:
        await connection.execute("INSERT INTO ordered VALUES ('XX', 1, 1, 1)")
    assert (await rebuild(store.log, OrderedBySymbol())).rows == 0
    assert await rows(store) == {}


async def test_keys_in_quarantine_are_folded_anew(store: EventStore):
    """With repaired code a rebuild empties the quarantine; with the old code the key waits at the same event."""
    await create_table(store)
    broken = OrderedBySymbol()
    broken.poison = frozenset({D(13)})
    await place(store, 1, 13, 2, symbol="BAD")
    await place(store, 5, symbol="GOOD")
    await ProjectionWorker(store.log, broken).catch_up(4)
    assert (await rebuild(store.log, broken)).quarantined == 1
    (held,) = await list_quarantined(store.log)
    assert (held.key, held.position, held.attempts) == ('["BAD"]', 2, 2)
    assert await rows(store) == {"BAD": (1, D(1)), "GOOD": (1, D(5))}
    await place(store, 7, symbol="BAD")
    assert (await rebuild(store.log, OrderedBySymbol())).quarantined == 0
    assert await list_quarantined(store.log) == []
    assert await rows(store) == {"BAD": (4, D(23)), "GOOD": (1, D(5))}


async def test_a_discarded_event_is_tried_again(store: EventStore):
    """What still cannot be folded stays left out; what can be is folded, and its discard is no longer in force."""
    await create_table(store)
    broken = OrderedBySymbol()
    broken.poison = frozenset({D(13)})
    await place(store, 1, 13, 2, symbol="BAD")
    await ProjectionWorker(store.log, broken).catch_up(3)
    (held,) = await list_quarantined(store.log)
    await discard(store.log, broken, held.key, discarded_by="risk desk", reason="a test order")
    assert (await rebuild(store.log, broken)).folded_again == ()
    assert await rows(store) == {"BAD": (2, D(3))}
    assert (await rebuild(store.log, OrderedBySymbol())).folded_again == (2,)
    assert await rows(store) == {"BAD": (3, D(16))}
    async with store.connection.acquire() as connection:
        kept = await connection.fetchrow("SELECT discarded_by, folded_again_at FROM projection_discards")
    assert kept["discarded_by"] == "risk desk"
    assert kept["folded_again_at"] is not None
    assert (await compare_with_fold(store.log, OrderedBySymbol())).is_equal


async def test_a_row_that_the_database_refuses_stops_its_key_only(store: EventStore):
    """A constraint of the table refuses one row: its key is put in quarantine, the others are in the new table."""
    await create_table(store)
    async with store.connection.acquire() as connection:
        await connection.execute("ALTER TABLE ordered ADD CONSTRAINT small CHECK (quantity < 100)")
    await place(store, 5, 500, symbol="BIG")
    await place(store, 7, symbol="SMALL")
    assert (await rebuild(store.log, OrderedBySymbol())).quarantined == 1
    assert await rows(store) == {"BIG": (1, D(5)), "SMALL": (1, D(7))}
    assert [held.key for held in await list_quarantined(store.log)] == ['["BIG"]']
    async with store.connection.acquire() as connection:
        await connection.execute("ALTER TABLE ordered DROP CONSTRAINT small")
    await rebuild(store.log, OrderedBySymbol())
    assert await rows(store) == {"BIG": (2, D(505)), "SMALL": (1, D(7))}


async def test_partitions_stay_and_stand_at_one_checkpoint(store: EventStore):
    """A projection of three partitions, each elsewhere, is rebuilt: all are at one position, and go on exactly once."""
    await create_table(store)
    projection = OrderedBySymbol()
    await place(store, 1)
    await ProjectionWorker(store.log, projection).catch_up(1)
    await set_partitions(store.log, projection, 3)
    for symbol in ("A", "B", "C", "D"):
        await place(store, 1, 2, symbol=symbol)
    await ProjectionWorker(store.log, projection, partition=1).catch_up(9)
    await rebuild(store.log, projection)
    await place(store, 3, symbol="A")
    for partition in range(3):
        await ProjectionWorker(store.log, projection, partition=partition).catch_up(10)
    assert await rows(store) == {"ES": (1, D(1)), "A": (3, D(6)), **dict.fromkeys("BCD", (2, D(3)))}


async def test_a_proof_that_fails_swaps_nothing(store: EventStore):
    """The error names the keys of both sides; the live table is as it was, and what was built is gone."""
    await create_table(store)
    await place(store, 1, 2, symbol="A")
    await place(store, 3, symbol="B")
    await ProjectionWorker(store.log, OrderedBySymbol()).catch_up(3)
    with pytest.raises(RebuildError, match=r'2 row\(s\) differ: \["A"\] \(in both\), \["B"\] \(in both\)'):
        await rebuild(store.log, Impure())
    assert await rows(store) == {"A": (2, D(3)), "B": (1, D(3))}
    async with store.connection.acquire() as connection:
        assert await connection.fetchval("SELECT to_regclass('ordered__rebuild')") is None
        assert await connection.fetchval("SELECT count(*) FROM projection_rebuilds") == 0
    await rebuild(store.log, OrderedBySymbol())


@pytest.mark.parametrize("in_place", [False, True])
async def test_who_is_taken_over_before_the_swap_swaps_nothing(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, in_place: bool
):
    """All is built and proved, and then another process takes over: the live table stays as it is."""
    await create_table(store)
    await place(store, 1, 2, 3)
    await ProjectionWorker(store.log, OrderedBySymbol()).catch_up(3)
    async with store.connection.acquire() as connection:
        await connection.execute("UPDATE ordered SET quantity = 0")
    lock = rebuilding._lock

    async def take_over(*arguments: Any) -> None:
        async with store.connection.acquire() as other:
            await other.execute("UPDATE projection_rebuilds SET epoch = epoch + 1")
        await lock(*arguments)

    monkeypatch.setattr(rebuilding, "_lock", take_over)
    with pytest.raises(RebuildError, match="taken over"):
        await rebuild(store.log, OrderedBySymbol(), in_place=in_place)
    assert await rows(store) == {"ES": (3, D(0))}


async def test_what_hangs_on_the_table_itself_is_refused(store: EventStore):
    """A view would go on showing the old table, so it is named before anything is built."""
    async with store.connection.acquire() as connection:
        await connection.execute("CREATE VIEW open_orders AS SELECT id FROM orders")
    with pytest.raises(RebuildError, match="view open_orders"):
        await rebuild(store.log, OrdersProjection())


async def test_a_table_in_use_is_not_waited_for_for_ever(store: EventStore):
    """A transaction that has read the table is named when the time is over; what was built is kept."""
    await create_table(store)
    await place(store, 1)
    async with store.connection.acquire() as connection, connection.transaction():
        await connection.fetch("SELECT FROM ordered")
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(RebuildError, match=f"by backend {pid} .* what was built is kept"):
            await rebuild(store.log, OrderedBySymbol(), swap_timeout_s=0.1)
        assert await connection.fetchval("SELECT position FROM projection_rebuilds") == 1
    assert (await rebuild(store.log, OrderedBySymbol())).rows == 1


async def test_a_new_version_is_served_when_it_is_proved(store: EventStore):
    """Code of either version writes to and folds into no table of the other; a rebuild hands over, and not back."""
    await create_table(store)
    await place(store, 1, 2)
    old = ProjectionWorker(store.log, OrderedBySymbol())
    await old.catch_up(2)
    new = ProjectionWorker(store.log, Doubled())
    for refused in (new.run_once(), new.run(), set_partitions(store.log, Doubled(), 2)):
        with pytest.raises(ProjectionVersionError, match=r"version 1.*version 2.*eventstore rebuild ordered"):
            await refused
    with pytest.raises(ProjectionVersionError):
        await compare_with_fold(store.log, Doubled())
    await place(store, 3)
    await old.catch_up(3)
    assert await rows(store) == {"ES": (3, D(6))}
    await rebuild(store.log, Doubled())
    assert await rows(store) == {"ES": (6, D(6))}
    await place(store, 4)
    with pytest.raises(CheckpointMovedError):  # the epoch that it knows is refused first
        await old.run_once()
    with pytest.raises(ProjectionVersionError, match=r"version 2.*version 1.*newer code"):
        await old.run_once()
    with pytest.raises(ProjectionVersionError, match="newer code"):
        await rebuild(store.log, OrderedBySymbol())
    await new.catch_up(4)
    assert await rows(store) == {"ES": (8, D(10))}


async def test_what_another_version_has_built_is_not_gone_on_with(store: EventStore):
    """A rebuild by older code was left half done: newer code builds every row itself."""
    await create_table(store)
    await place(store, 1, 2, 3, 4)
    lease = await RebuildLease.take(store.log, OrderedBySymbol())
    build: Build[Any] = Build(store.log, OrderedBySymbol(), lease.epoch, lambda *_: None)
    await build.open(restart=False, reached=0)
    await build.step(2)
    async with store.connection.acquire() as connection:
        await connection.execute("UPDATE projection_rebuilds SET lease_expires_at = NULL")
    await rebuild(store.log, Doubled())
    assert await rows(store) == {"ES": (8, D(10))}


async def test_reads_never_mix_versions(store: EventStore):
    """A list refuses a table of another version and names it; one entity is folded from its events alone."""
    (order,) = await place(store, 1)
    await ProjectionWorker(store.log, OrdersProjection()).catch_up(1)
    async with store.connection.acquire() as connection:
        await connection.execute(
            "UPDATE projections SET version = 2 WHERE name = 'orders'; UPDATE orders SET symbol = 'of version 2'"
        )
    async with store.unit_of_work() as uow:
        with pytest.raises(
            ProjectionVersionError, match=r"orders was built by version 2, this code has version 1"
        ):
            await uow.orders.get_active_orders()
    async with store.unit_of_work() as uow:
        assert await uow.orders.get_order_by_id(order.id) == order
    async with store.unit_of_work() as uow:
        (read,) = await uow.orders.get_active_orders(consistency="eventual")
        assert read.symbol == "of version 2"


async def test_what_workers_fold_at_the_last_moment_is_in_the_new_table(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """Events that come between the last catch-up and the swap, and are in the live table, are folded by the swap itself."""
    await create_table(store)
    await place(store, 1, 2)
    worker = ProjectionWorker(store.log, OrderedBySymbol())
    await worker.catch_up(2)
    catch_up = rebuilding._Rebuild._catch_up

    async def and_then_more(one: Any, build: Any) -> None:
        await catch_up(one, build)
        await place(store, 3)
        await worker.catch_up(await store.log.head())

    monkeypatch.setattr(rebuilding._Rebuild, "_catch_up", and_then_more)
    rebuilt = await rebuild(store.log, OrderedBySymbol())
    monkeypatch.undo()
    head = await store.log.head()
    assert rebuilt.position == head > 2
    assert await rows(store) == {"ES": (head, D(3 * head - 3))}
    assert (await check(store.log, [OrderedBySymbol()])).findings == ()


async def test_what_is_folded_after_the_proof_is_proved_too(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """The first event that is not folded the same way each time comes once all is proved: it is found by the swap."""

    class ImpureAtLast(Impure):
        def evolve(self, row: Any, event: RecordedEvent) -> Any:
            folded = super().evolve(row, event)
            return folded if folded.quantity > 3 else OrderedBySymbol.evolve(self, row, event)

    await create_table(store)
    await place(store, 1, 2)
    worker = ProjectionWorker(store.log, OrderedBySymbol())
    await worker.catch_up(2)

    async def and_then_more(*arguments: Any) -> Any:
        proved = await prove(*arguments)
        await place(store, 4)
        await worker.catch_up(3)
        return proved

    monkeypatch.setattr("projections.rebuild.coordinator.prove", and_then_more)
    with pytest.raises(RebuildError, match=r'1 row\(s\) differ: \["ES"\] \(in both\)'):
        await rebuild(store.log, ImpureAtLast())
    assert await rows(store) == {"ES": (3, D(7))}
