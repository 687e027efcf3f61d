"""What is set for a table is set for the one that takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eventstore.errors import RebuildError
from projections.rebuild import rebuild
from tests.hit_projections import Hit, HitsByNumber, fold_all, hits, hits_table

if TYPE_CHECKING:
    from eventstore.store import EventStore

SETTINGS = """
    SELECT relreplident::text, relrowsecurity, relforcerowsecurity, obj_description(live.oid, 'pg_class'), reloptions::text,
        ARRAY(
            SELECT concat_ws(':', attname, attstattarget, attoptions::text, col_description(attrelid, attnum))
            FROM pg_attribute WHERE attrelid = live.oid AND attnum > 0 ORDER BY attnum
        ),
        ARRAY(
            SELECT concat_ws(':', pg_get_indexdef(indexrelid), indisclustered, indisreplident,
                obj_description(indexrelid, 'pg_class'))
            FROM pg_index WHERE indrelid = live.oid ORDER BY 1
        )
    FROM pg_class AS live WHERE oid = 'hits'::regclass
"""


@pytest.mark.parametrize(
    "identity", ["FULL", "NOTHING", "USING INDEX hits_once"], ids=["full", "nothing", "index"]
)
async def test_a_rebuilt_table_is_set_as_the_old_one(store: EventStore, identity: str):
    """Row level security, replica identity, comments, statistics and clustering: none is lost, however often it is rebuilt."""
    await hits_table(
        store,
        HitsByNumber(),
        "CREATE UNIQUE INDEX hits_once ON hits (number)",
        "CREATE INDEX hits_most ON hits (hits) WITH (fillfactor = 60)",
        f"ALTER TABLE hits REPLICA IDENTITY {identity}",
        "ALTER TABLE hits ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE hits FORCE ROW LEVEL SECURITY",
        "ALTER TABLE hits SET (fillfactor = 70)",
        "ALTER TABLE hits ALTER hits SET STATISTICS 500, ALTER hits SET (n_distinct = 5)",
        "ALTER TABLE hits CLUSTER ON hits_most",
        "COMMENT ON TABLE hits IS 'it''s ours'",
        "COMMENT ON COLUMN hits.hits IS 'how many'",
        "COMMENT ON INDEX hits_most IS 'for the desk'",
    )
    await store.log.append(hits(Hit(number=1)))
    await fold_all(store, HitsByNumber())
    async with store.connection.acquire() as connection:
        before = await connection.fetchrow(SETTINGS)
        assert before["relforcerowsecurity"]
        for _ in range(2):
            await rebuild(store.log, HitsByNumber())
            assert await connection.fetchrow(SETTINGS) == before


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (
            "CREATE FUNCTION total() RETURNS numeric BEGIN ATOMIC SELECT sum(hits) FROM hits; END",
            r"function total\(\)",
        ),
        ("CREATE TABLE every_hit (LIKE hits); ALTER TABLE hits INHERIT every_hit", "parent every_hit"),
        ("CREATE TABLE more_hits () INHERITS (hits)", "child more_hits"),
        ("CREATE RULE quiet AS ON DELETE TO hits DO INSTEAD NOTHING", "view hits|rule quiet"),
    ],
    ids=["function", "parent", "child", "rule"],
)
async def test_what_would_not_go_over_is_named_before_anything_is_built(
    store: EventStore, statement: str, named: str
):
    """A rebuild that could not end, or would lose something on the way, does not begin."""
    await hits_table(store, HitsByNumber(), statement)
    with pytest.raises(RebuildError, match=named):
        await rebuild(store.log, HitsByNumber())
    async with store.connection.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM projection_rebuilds") == 0
