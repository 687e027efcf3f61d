"""A rebuild in shards, by one process or several: the same table as of one whole, whatever ends in between."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid1, uuid4

import pytest

from eventstore.core.registry import EventRegistry, registry
from eventstore.errors import ConfigurationError, RebuildError
from eventstore.log.event_log import EventLog
from eventstore.sql import load, uuid_hash
from projections import OrdersProjection, PortfoliosProjection, PositionsProjection, Projection
from projections.check import check
from projections.keys import partition_of
from projections.rebuild import RebuildLimits, RebuildProgress, proof as proving, rebuild
from projections.rebuild.builder import Build
from projections.rebuild.process_pool import ProcessPool
from projections.rebuild.shards import Shard
from tests.conftest import url_of
from tests.discarded_keys import AT_MOST_TWO, counts, leave_out
from tests.filled_log import fill_the_log
from tests.hit_projections import Hit, HitsByNumber, fold_all, hits, hits_table
from tests.ordered_by_symbol import OrderedBySymbol, create_table, place, rows
from tests.waiting import until

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig
    from eventstore.store import EventStore

ROOT = Path(__file__).parents[2]
KINDS: tuple[type[Projection[Any]], ...] = (OrdersProjection, PositionsProjection, PortfoliosProjection)


@pytest.fixture
def in_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide as for three processes, and let this one do it all."""
    monkeypatch.setattr(ProcessPool, "processes", property(lambda _: 3))


async def test_several_processes_build_what_one_does(store: EventStore):
    """Same rows, same digest, every event counted once; of tables by stream, and of one by another key."""
    await create_table(store)
    await fill_the_log(store)
    await place(store, 1, 2, 3, symbol="A")
    for projection in (*(kind() for kind in KINDS), OrderedBySymbol()):
        alone = await rebuild(store.log, projection)
        together = await rebuild(store.log, projection, processes=2)
        assert (together.rows, together.digest, together.events) == (alone.rows, alone.digest, alone.events)
        assert together.rows > 0
        assert (await check(store.log, [projection])).findings == ()
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("in_shards")
async def test_shards_go_on_where_they_were(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """What was built of each shard before the end of its process is kept, whoever goes on and with how many processes."""
    limits = RebuildLimits(step_events_max=2, page_events_max=2)
    await place(store, *range(1, 31))

    def end(progress: RebuildProgress) -> None:
        if progress.events > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(store.log, OrdersProjection(), on_progress=end, limits=limits)
    async with store.connection.acquire() as connection:
        left = await connection.fetch(load("rebuild/list_shards", connection), "orders")
        assert sum(row["events"] for row in left) > 15
        built = await connection.fetchval("SELECT count(*) FROM orders__rebuild")
        assert built == sum(row["events"] for row in left)
    monkeypatch.undo()
    reached: list[RebuildProgress] = []
    rebuilt = await rebuild(store.log, OrdersProjection(), on_progress=reached.append, limits=limits)
    assert (rebuilt.rows, rebuilt.events) == (30, 30)
    assert (await check(store.log, [OrdersProjection()])).findings == ()
    async with store.connection.acquire() as connection:
        assert await connection.fetch(load("rebuild/list_shards", connection), "orders") == []


@pytest.mark.usefixtures("in_shards")
async def test_to_begin_anew_forgets_the_shards(store: EventStore):
    """`restart` drops what was built of them."""
    await place(store, *range(1, 11))

    def end(progress: RebuildProgress) -> None:
        if progress.events > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(store.log, OrdersProjection(), on_progress=end)
    rebuilt = await rebuild(store.log, OrdersProjection(), restart=True)
    assert (rebuilt.rows, rebuilt.events) == (10, 10)


@pytest.mark.usefixtures("in_shards")
async def test_what_cannot_be_folded_stops_its_key_in_its_shard(store: EventStore):
    """One key is in quarantine after a rebuild in shards as after one of the whole; the others are folded."""
    await create_table(store)
    broken = OrderedBySymbol()
    broken.poison = frozenset({Decimal(13)})
    await place(store, 1, 13, 2, symbol="BAD")
    await place(store, 5, symbol="GOOD")
    assert (await rebuild(store.log, broken)).quarantined == 1
    assert {symbol: count for symbol, (count, _) in (await rows(store)).items()} == {"BAD": 1, "GOOD": 1}


@pytest.mark.usefixtures("in_shards")
async def test_a_discarded_event_that_is_refused_stays_left_out(store: EventStore):
    """What the database refused in a shard is known to the proof."""
    projection = HitsByNumber()
    await hits_table(store, projection, AT_MOST_TWO)
    await store.log.append(hits(*(Hit(number=1) for _ in range(3)), *(Hit(number=n) for n in range(2, 9))))
    await fold_all(store, projection)
    await leave_out(store, projection, "[1]")
    rebuilt = await rebuild(store.log, projection)
    assert (rebuilt.quarantined, rebuilt.folded_again) == (0, ())
    assert (await counts(store, projection))[1] == 2


async def test_the_rows_of_one_shard_alone_are_in_memory(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """A proof that reads the log takes so many shards that none has more rows than the limit, with the digest of the whole."""
    await fill_the_log(store)
    whole = await rebuild(store.log, OrdersProjection())
    monkeypatch.setattr(Build, "fold_along", lambda _: None)
    limits = RebuildLimits(proof_rows_max=2)
    held: list[int] = []
    differences = proving.differences  # type: ignore[attr-defined]

    async def measured(*given: Any) -> Any:
        held.append(len(given[3].rows))
        return await differences(*given)

    monkeypatch.setattr(proving, "differences", measured)
    again = await rebuild(store.log, OrdersProjection(), limits=limits)
    assert (again.rows, again.digest) == (whole.rows, whole.digest)
    assert len(held) == 4  # seven rows, two to a shard
    assert sum(held) == 7


DAMAGES = (
    ("UPDATE orders__rebuild SET quantity = 10.0 WHERE version > 1", "in both"),
    ("UPDATE orders__rebuild SET executions = '[]' WHERE version > 1", "in both"),
    ("UPDATE orders__rebuild SET last_position = last_position - 1", "in both"),
    ("DELETE FROM orders__rebuild", "in the fold"),
    (
        """INSERT INTO orders__rebuild SELECT (jsonb_populate_record(one, jsonb_build_object('id', gen_random_uuid()))).*
        FROM orders__rebuild AS one LIMIT 1""",
        "in the table",
    ),
)


async def test_a_row_that_is_wrong_is_found_in_every_shard(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """A digit, a text in JSON, a lost row, one too many: named by the proof, and the live table is as it was."""
    await fill_the_log(store)
    limits = RebuildLimits(proof_rows_max=3)
    prove = proving.prove
    for statement, where in DAMAGES:

        async def after_damage(*given: Any, statement: str = statement) -> Any:
            async with store.connection.acquire() as connection:
                await connection.execute(statement)
            return await prove(*given)

        monkeypatch.setattr("projections.rebuild.coordinator.prove", after_damage)
        with pytest.raises(RebuildError, match=where):
            await rebuild(store.log, OrdersProjection(), limits=limits)
    monkeypatch.setattr("projections.rebuild.coordinator.prove", prove)
    assert (await rebuild(store.log, OrdersProjection(), limits=limits)).rows == 7


async def test_a_process_that_is_killed_takes_nothing_with_it(store: EventStore):
    """The rebuild ends with an error that says what to do, and goes on when it is run again."""
    await place(store, *range(1, 31))
    limits = RebuildLimits(step_events_max=2, page_events_max=2)

    def kill(progress: RebuildProgress) -> None:
        if progress.events > 3:
            for child in multiprocessing.active_children():
                child.kill()

    with pytest.raises(RebuildError, match="run it again"):
        await rebuild(store.log, OrdersProjection(), processes=2, on_progress=kill, limits=limits)
    assert (await rebuild(store.log, OrdersProjection(), limits=limits)).rows == 30


async def test_a_rebuild_that_is_cancelled_ends_its_processes(store: EventStore):
    """At once: they do not finish their shards first."""
    await place(store, *range(1, 61))
    limits = RebuildLimits(step_events_max=1, page_events_max=1)
    reached: list[int] = []

    def cancel(progress: RebuildProgress) -> None:
        reached.append(progress.events)
        if progress.events > 3:
            rebuilding.cancel()

    rebuilding = asyncio.ensure_future(
        rebuild(store.log, OrdersProjection(), processes=2, on_progress=cancel, limits=limits)
    )
    with pytest.raises(asyncio.CancelledError):
        await rebuilding
    assert max(reached) < 60
    assert not multiprocessing.active_children()


async def test_the_processes_of_a_killed_rebuild_end(store: EventStore, migrated_config: DatabaseConfig):
    """They see that the one which started them is gone, also while they work; the next rebuild goes on."""
    await place(store, *range(1, 61))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.concurrency.killed_rebuild", url_of(migrated_config)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    told = await process.stdout.readline()  # not until it is closed: the other process has it too
    assert await process.wait() == -signal.SIGKILL
    children = [int(pid) for pid in told.split()]
    assert len(children) == 2
    try:
        await until(lambda: not any(map(is_running, children)))
    finally:
        for child in filter(is_running, children):
            os.kill(child, signal.SIGKILL)
    assert (await rebuild(store.log, OrdersProjection())).rows == 60


def is_running(pid: int) -> bool:
    """Whether there is a process that has not ended yet."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())  # empty once it has ended and nobody has asked
    except OSError:
        return False


class NotToBeMade(OrderedBySymbol):
    """It wants something when it is made."""

    def __init__(self, something: object) -> None:
        del something


async def test_what_another_process_cannot_have_is_refused(store: EventStore):
    """A projection that is made with arguments, event classes of the log's own, a number out of range: named at once."""
    await create_table(store)
    with pytest.raises(ConfigurationError, match="take no constructor arguments"):
        await rebuild(store.log, NotToBeMade(object()), processes=2)
    own = EventLog(store.connection, classes=EventRegistry.merged(registry))
    with pytest.raises(ConfigurationError, match="exist only in this process"):
        await rebuild(own, OrderedBySymbol(), processes=2)
    for processes in (0, 65):
        with pytest.raises(ConfigurationError, match="1 to 64"):
            await rebuild(store.log, OrderedBySymbol(), processes=processes)


async def test_the_build_has_all_before_its_indexes(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """However little of the log is final at a time, the rows are written before the indexes are made."""
    monkeypatch.setattr("eventstore.log.high_water_mark.WINDOW_POSITIONS", 1)
    await place(store, *range(1, 61))
    reached: dict[str, int] = {}

    def note(progress: RebuildProgress) -> None:
        reached.setdefault(progress.stage, progress.position)

    await rebuild(store.log, OrdersProjection(), on_progress=note)
    assert reached["index"] == 60


async def test_the_statements_read_the_streams_of_a_shard(store: EventStore):
    """Every event is of one shard, the same by the statements and by `Shard.has`."""
    projection = OrdersProjection()
    await place(store, *range(1, 21))
    for shards in (1, 2, 7):
        found: dict[int, set[UUID]] = {}
        async with store.connection.acquire() as connection:
            for number in range(shards):
                bounds = Shard(number, shards).bounds(projection)
                asked = 0, 100, 100, ["order"], *bounds, 2**62
                page = await connection.fetch(load("rebuild/read_shard", connection), *asked)
                folded = await connection.fetch(load("rebuild/fold_shard", connection), *asked)
                window = await connection.fetch(
                    load("rebuild/scan_window", connection), 0, 100, *bounds, 2**62
                )
                found[number] = {row["stream_id"] for row in page}
                assert found[number] == {row["stream_id"] for row in window}
                assert [row["position"] for row in folded] == [row["position"] for row in page]
                assert found[number] == {one for one in all_of(found) if Shard(number, shards).has((one,))}
        assert len(all_of(found)) == sum(map(len, found.values())) == 20


async def test_the_server_splits_uuids_as_python_does(store: EventStore):
    """Of random ids, of ids made of the time, and of the first and the last one; and no share is left without its part."""
    ids = [
        *(uuid4() for _ in range(2_000)),
        *(uuid1() for _ in range(2_000)),
        UUID(int=0),
        UUID(int=2**128 - 1),
    ]
    async with store.connection.acquire() as connection:
        for of in (2, 7, 64, 256):
            rows = await connection.fetch(
                f"SELECT id, {uuid_hash('id')} % $2 AS share FROM unnest($1::uuid[]) AS given (id)", ids, of
            )
            assert [row["share"] for row in rows] == [partition_of((one,), of) for one in ids]
    for some in (ids[:2_000], ids[2_000:4_000]):
        shares = Counter(partition_of((one,), 8) for one in some)
        assert min(shares.values()) > len(some) / 8 / 2, shares


def all_of(found: dict[int, set[UUID]]) -> set[UUID]:
    """The streams of all shards."""
    return set().union(*found.values())
