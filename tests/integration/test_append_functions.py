"""The functions through which roles append that have no right on the table: what they take from the server, and what they refuse."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from eventstore.database import DatabaseConfig
from eventstore.database.connecting import connect_arguments
from eventstore.errors import ConcurrencyError
from eventstore.log.records import AppendColumns, StagedEvent, to_columns
from eventstore.log.statements import append_document, execute_append
from eventstore.sql import load
from eventstore.store import EventStore
from tests.entities import StrategyTuned, pending, started
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import DatabaseMaker

ONE = (
    "SELECT position, recorded_at, actual FROM append_event($1::uuid, $2, $3, $4, $5, $6::smallint, $7, $8, "
    "$9::text::timestamptz, NULL)"
)
MANY = "SELECT positions, recorded_at, conflicts FROM append_events($1, NULL)"
OTHER = {"version": 1, "category": "order", "type": "Other"}


def event(**changes: Any) -> dict[str, Any]:
    """An event as a writer may give it, with changes."""
    return {
        "stream_id": str(uuid4()),
        "version": 1,
        "event_id": str(uuid4()),
        "category": "order",
        "type": "Noted",
        "schema_version": 1,
        "data": {},
        "metadata": {},
        "occurred_at": "2026-01-02T03:04:05+00:00",
    } | changes


async def append_one(connection: Any, one: dict[str, Any]) -> Any:
    """Append through the function for one event."""
    data, metadata = (orjson.dumps(one[name]).decode() for name in ("data", "metadata"))
    return await connection.fetchrow(
        ONE,
        one["stream_id"],
        one["version"],
        one["event_id"],
        one["category"],
        one["type"],
        one["schema_version"],
        data,
        metadata,
        one["occurred_at"],
    )


async def append_many(connection: Any, *events: dict[str, Any]) -> Any:
    """Append through the function for several events."""
    return await connection.fetchrow(MANY, orjson.dumps(events).decode())


FORGED = {
    "version 0": {"version": 0},
    "version -1": {"version": -1},
    "version at the end": {"version": 2**31 - 1},
    "schema version 0": {"schema_version": 0},
    "schema version -1": {"schema_version": -1},
    "no category": {"category": ""},
    "a long category": {"category": "x" * 256},
    "a long category of few characters": {"category": "ä" * 128},
    "no type": {"type": ""},
    "a long type": {"type": "x" * 10_000},
    "infinity": {"occurred_at": "infinity"},
    "-infinity": {"occurred_at": "-infinity"},
    "before Christ": {"occurred_at": "0044-03-15 00:00:00+00 BC"},
    "after year 9999": {"occurred_at": "10000-01-01T00:00:00+00:00"},
    "data: array": {"data": [1]},
    "data: text": {"data": "text"},
    "data: null": {"data": None},
    "metadata: array": {"metadata": [2]},
    "metadata: number": {"metadata": 2},
    "no event id": {"event_id": None},
    "no stream": {"stream_id": None},
    "no version": {"version": None},
    "no time": {"occurred_at": None},
}


@pytest.mark.parametrize("changes", FORGED.values(), ids=FORGED)
async def test_an_event_that_the_library_would_not_write_is_refused(
    store: EventStore, changes: dict[str, Any]
):
    """Alone, among others, and as the second of a stream: an error or a conflict, and nothing is written."""
    async with store.connection.acquire() as connection:
        forged = event(**changes)
        for attempt in (
            append_one(connection, forged),
            append_many(connection, forged),
            append_many(connection, event(), forged),
        ):
            try:
                row = await attempt
            except asyncpg.IntegrityConstraintViolationError:
                continue
            except asyncpg.DataError:  # a number that the function's type does not have
                continue
            assert row["recorded_at"] is None
        assert await connection.fetchval("SELECT count(*) FROM events") == 0


async def test_a_batch_cannot_leave_a_gap_in_a_stream(store: EventStore):
    """Versions that do not follow one another are refused, in any order, though the first is the next one."""
    async with store.connection.acquire() as connection:
        stream = str(uuid4())
        for versions in ((1, 3), (1, 1), (3, 1), (1, 2, 4), (1, 2**31 - 1)):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                await append_many(connection, *(event(stream_id=stream, version=one) for one in versions))
        row = await append_many(connection, *(event(stream_id=stream, version=one) for one in (2, 1)))
        assert len(row["positions"]) == 2
        assert await connection.fetchval("SELECT count(*) FROM events") == 2


async def test_position_and_time_are_the_servers(store: EventStore):
    """A document that says them itself is not believed, and no argument takes them."""
    async with store.connection.acquire() as connection:
        before = await connection.fetchval("SELECT clock_timestamp()")
        forged = event(position=2**62, recorded_at="1999-01-01T00:00:00+00:00")
        assert (await append_many(connection, forged))["positions"] == [1]
        assert (await append_one(connection, forged | {"stream_id": str(uuid4())}))["position"] == 2
        for row in await connection.fetch("SELECT recorded_at FROM events"):
            assert before <= row["recorded_at"] <= before + timedelta(minutes=1)


@pytest.mark.parametrize("digest", [None, 0, 1, -(2**31), "left out"])
async def test_a_forged_digest_concerns_its_own_append_alone(store: EventStore, digest: Any):
    """Who forges it decides whether a repeat of the very same events is one: the appends of others are as they were."""
    others = [started(), started()]
    done = await store.log.append(*others)
    mine = [started(), started()]
    document = orjson.loads(append_document(to_columns(event for one in mine for event in one.staged({}))))
    for event in document:
        event["append_digest"] = digest
        if digest == "left out":
            del event["append_digest"]
    async with store.connection.acquire() as connection:
        row = await append_many(connection, *document)
        stored = await connection.fetch(
            "SELECT append_digest FROM events WHERE position = ANY ($1)", row["positions"]
        )
        assert {one[0] for one in stored} == {digest if isinstance(digest, int) else 0}
    if digest in (1, -(2**31)):
        with pytest.raises(ConcurrencyError):
            await store.log.append(*mine)
    else:
        assert (await store.log.append(*mine)).repeated
    assert (await store.log.append(*others)).positions == done.positions
    with pytest.raises(ConcurrencyError):
        await store.log.append(others[0])


@pytest.mark.parametrize("digest", ["x", 2**31, 1.5, [1]], ids=str)
async def test_a_digest_that_is_none_is_refused(store: EventStore, digest: Any):
    """The server's type refuses it, and nothing is written."""
    async with store.connection.acquire() as connection:
        with pytest.raises(asyncpg.DataError):
            await append_many(connection, event(append_digest=digest), event())
        assert await connection.fetchval("SELECT count(*) FROM events") == 0


FORMS = [
    "log/append_one",
    "log/append",
    "log/append_one_directly",
    "log/append_directly",
    "log/append_at_once",
]


@pytest.mark.parametrize("form", FORMS)
async def test_the_table_is_locked_before_a_position_is_drawn(store: EventStore, form: str):
    """While the table cannot be locked, the sequence stands still: for a new plan, and for one that is kept."""
    async with store.connection.acquire() as writer, store.connection.acquire() as holder:

        async def append() -> None:
            stream, now = uuid4(), datetime.now(UTC)
            if "append_one" not in form:
                document = orjson.dumps([event(), event(stream_id=str(stream))]).decode()
                heads: list[Any] = [[], []] if form == "log/append_at_once" else []
                await writer.fetch(load(form, writer), document, *heads, None)
            else:
                arguments = (stream, 1, uuid4(), "order", "Noted", 1, "{}", "{}", now, None)
                await writer.fetch(load(form, writer), *arguments)

        for calls in (0, 1, 12):  # PostgreSQL keeps a plan from the sixth call on
            for _ in range(calls):
                await append()
            last = await holder.fetchval("SELECT last_value, is_called FROM events_position_seq")
            async with holder.transaction():
                await holder.execute("LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE")
                waiting = asyncio.create_task(append())
                await until(lambda: is_waiting(holder))
                assert await holder.fetchval("SELECT last_value, is_called FROM events_position_seq") == last
            await waiting
            assert await holder.fetchval("SELECT last_value FROM events_position_seq") > 0


async def appended_by(store: EventStore, *, directly: bool) -> list[Any]:
    """What appends of one form give, of every kind: alone, of two streams, in conflict, twice; and what is then in the log."""
    first, second, ids = UUID(int=1), UUID(int=2), (UUID(int=10 + number) for number in count())
    point = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

    def staged(*versions: tuple[UUID, int]) -> AppendColumns:
        return to_columns(
            StagedEvent(
                stream,
                version,
                pending(StrategyTuned(parameter="x", value=Decimal(version), occurred_at=point), next(ids)),
                {"n": version},
            )
            for stream, version in versions
        )

    appends = [
        staged((second, 1)),
        staged((first, 1), (second, 2), (first, 2)),
        staged((first, 2)),
        staged((first, 3), (second, 7)),
        staged((first, 3), (first, 4)),
    ]
    given: list[Any] = []
    async with store.connection.acquire() as connection:
        for columns in appends:
            try:
                result = await execute_append(connection, columns, lock_timeout="1s", directly=directly)
            except ConcurrencyError as conflict:
                given.append((conflict.stream_id, conflict.expected, conflict.actual))
            else:
                assert result.recorded_at is not None
                given.append(result.positions)
        rows = await connection.fetch("SELECT * FROM events ORDER BY position")
        given += [{name: value for name, value in row.items() if name != "recorded_at"} for row in rows]
    return given


async def test_both_forms_of_the_append_are_one(make_database: DatabaseMaker, migrated_template: str):
    """Into the table itself, as the owner's sessions do, or through the functions: all is the same, to the last column."""
    given = []
    for directly in (True, False):
        async with (
            make_database(migrated_template) as config,
            EventStore.open(config, workers=False) as opened,
        ):
            given.append(await appended_by(opened, directly=directly))
    assert given[0] == given[1]
    assert given[0][:5] == [(1,), (2, 3, 4), (UUID(int=1), 1, 2), (UUID(int=2), 6, 2), (5, 6)]


@pytest.mark.parametrize("group_commit", [True, False], ids=["group-commit", "each-alone"])
async def test_rights_that_change_while_a_connection_lives(
    migrated_config: DatabaseConfig, group_commit: bool
):
    """An append that is refused asks anew what its user may, and is written without a new connection."""
    role = f"changing_{uuid4().hex}"
    owner = await asyncpg.connect(**connect_arguments(migrated_config))
    table = f"GRANT INSERT ON events TO {role}; GRANT USAGE ON SEQUENCE events_position_seq TO {role}"
    functions = f"GRANT EXECUTE ON FUNCTION append_event, append_events TO {role}"

    def taken(right: str) -> str:
        return right.replace("GRANT", "REVOKE").replace(" TO ", " FROM ")

    await owner.execute(
        f"CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; {table}"
    )
    try:
        config = migrated_config.replace(
            user=role, min_pool_size=1, max_pool_size=1, group_commit=group_commit
        )
        async with EventStore.open(config, workers=False) as store:
            await store.log.append(started())
            for given, gone in ((functions, table), (table, functions), (functions, table)):
                await owner.execute(f"{given}; {taken(gone)}")
                assert (await store.log.append(started())).positions
    finally:
        await owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await owner.close()


async def is_waiting(connection: Any) -> bool:
    """Whether somebody waits for a lock on the table."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'events'::regclass AND NOT granted)"
    )
    return found


async def test_callers_cannot_lead_the_functions_astray(migrated_config: DatabaseConfig):
    """Objects of the caller's own, in temporary schemas and first in its search path, are not used with the owner's rights."""
    connection = await asyncpg.connect(**connect_arguments(migrated_config))
    try:
        await connection.execute("""
            CREATE SCHEMA mine;
            CREATE TABLE mine.events (LIKE public.events);
            CREATE TEMPORARY TABLE events (LIKE public.events);
            CREATE FUNCTION mine.spoil(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'spoilt'; END $$;
            CREATE OPERATOR mine.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = mine.spoil);
            CREATE FUNCTION mine.nextval(regclass) RETURNS bigint LANGUAGE sql AS 'SELECT 77::bigint';
            CREATE FUNCTION mine.statement_timestamp() RETURNS timestamptz LANGUAGE sql
                AS 'SELECT ''1999-01-01''::timestamptz';
            CREATE FUNCTION mine.octet_length(text) RETURNS integer LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'spoilt'; END $$;
            SET search_path = pg_temp, mine, pg_catalog, public;
        """)
        one, many = event(), event()
        functions = [statement.replace("FROM append", "FROM public.append") for statement in (ONE, MANY)]
        row = await connection.fetchrow(
            functions[0],
            one["stream_id"],
            1,
            one["event_id"],
            "order",
            "Noted",
            1,
            "{}",
            "{}",
            one["occurred_at"],
        )
        assert row["position"] == 1
        assert row["recorded_at"].year > 1999
        row = await connection.fetchrow(functions[1], orjson.dumps([many]).decode())
        assert row["positions"] == [2]
        assert await connection.fetchval("SELECT count(*) FROM public.events") == 2
        assert await connection.fetchval("SELECT count(*) FROM pg_temp.events") == 0
    finally:
        await connection.close()


async def test_each_function_of_the_store_has_a_search_path_of_its_own(store: EventStore):
    """None resolves a name by the path of its caller; those that run with their owner's rights are nobody's by default."""
    async with store.connection.acquire() as connection:
        rows = await connection.fetch("""
            SELECT proname, prosecdef, array_to_string(proconfig, ',') AS settings,
                   EXISTS (SELECT FROM aclexplode(proacl) AS acl WHERE acl.grantee = 0) OR proacl IS NULL AS is_public
            FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        """)
    assert {row["proname"] for row in rows if row["prosecdef"]} == {
        "append_event",
        "append_events",
        "lock_event_log",
    }
    for row in rows:
        assert str(row["settings"]).startswith("search_path="), row
        assert not (row["prosecdef"] and row["is_public"]), row
