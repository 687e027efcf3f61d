"""Whatever a name is made of, it stays a name: a rebuild leaves everything as it was, and touches nothing of others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from pydantic import create_model

from eventstore.database import DatabaseConfig, PostgreSQLAdapter
from eventstore.database.grants import grant
from eventstore.errors import ConfigurationError, RebuildError
from eventstore.store import EventStore
from projections import Projection, Table
from projections.check import check, compare_with_rebuild
from projections.fresh_rows import FreshRows
from projections.rebuild import abandon, rebuild
from projections.rebuild.new_table import beside_name
from tests.conftest import admin_connection
from tests.hit_projections import Hit, HitsByNumber, HitsOfNumber, fold_all, hit, hits
from tests.naming import hostile_names, identifier, text_literal
from tests.scale import examples

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.core.event import RecordedEvent

TABLE = """
SELECT 'table' AS kind, relname AS name, to_jsonb(ARRAY[
    relnamespace::regnamespace::text, relowner::regrole::text, relpersistence::text, relreplident::text,
    relrowsecurity::text, relforcerowsecurity::text, obj_description(live.oid, 'pg_class'),
    (SELECT amname FROM pg_am WHERE oid = relam), (SELECT spcname FROM pg_tablespace WHERE oid = reltablespace),
    (SELECT array_agg(option ORDER BY option)::text FROM unnest(reloptions) AS option),
    (SELECT array_agg(option ORDER BY option)::text FROM pg_class AS toast, unnest(toast.reloptions) AS option
        WHERE toast.oid = live.reltoastrelid)
]) AS definition
FROM pg_class AS live WHERE oid = $1::oid
UNION ALL
SELECT 'right', concat_ws('.', part.attname, pg_get_userbyid(acl.grantee), acl.privilege_type), to_jsonb(acl.is_grantable)
FROM (
    SELECT relacl, NULL::name FROM pg_class WHERE oid = $1::oid
    UNION ALL SELECT attacl, attname FROM pg_attribute WHERE attrelid = $1::oid AND attnum > 0
) AS part (acl, attname), aclexplode(part.acl) AS acl
UNION ALL
SELECT 'column', attname, to_jsonb(ARRAY[
    attnum::text, format_type(atttypid, atttypmod), attnotnull::text, pg_get_expr(adbin, adrelid), attidentity::text,
    attgenerated::text, attstorage::text, attcompression::text, attstattarget::text, attoptions::text,
    (SELECT collnamespace::regnamespace || '.' || collname FROM pg_collation WHERE oid = attcollation),
    col_description(attrelid, attnum), pg_get_serial_sequence($1::oid::regclass::text, attname)
])
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'index', relname, to_jsonb(ARRAY[
    pg_get_indexdef(indexrelid), indisunique::text, indisprimary::text, indisclustered::text, indisreplident::text,
    indisvalid::text, reloptions::text, obj_description(indexrelid, 'pg_class'), relowner::regrole::text,
    (SELECT spcname FROM pg_tablespace WHERE oid = reltablespace),
    ARRAY(SELECT concat_ws(':', attnum, attstattarget, attoptions::text) FROM pg_attribute WHERE attrelid = indexrelid
        ORDER BY attnum)::text
])
FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = $1::oid
UNION ALL
SELECT 'constraint', conname, to_jsonb(ARRAY[
    contype::text, pg_get_constraintdef(oid), convalidated::text, obj_description(oid, 'pg_constraint')
])
FROM pg_constraint WHERE conrelid = $1::oid
UNION ALL
SELECT 'statistics', stxname, to_jsonb(ARRAY[
    stxnamespace::regnamespace::text, stxowner::regrole::text, pg_get_statisticsobjdef(oid), stxstattarget::text,
    obj_description(oid, 'pg_statistic_ext')
])
FROM pg_statistic_ext WHERE stxrelid = $1::oid
UNION ALL
SELECT 'trigger', tgname, to_jsonb(ARRAY[pg_get_triggerdef(oid), tgenabled::text])
FROM pg_trigger WHERE tgrelid = $1::oid AND NOT tgisinternal
UNION ALL
SELECT 'policy', polname, to_jsonb(ARRAY[polcmd::text, pg_get_expr(polqual, polrelid)]) FROM pg_policy WHERE polrelid = $1::oid
UNION ALL
SELECT 'publication', pubname, to_jsonb(ARRAY[rowfilter, attnames::text]) FROM pg_publication_tables
WHERE format('%I.%I', schemaname, tablename)::regclass = $1::oid
"""

OTHERS = """
SELECT 'relation' AS kind, relnamespace::regnamespace || '.' || quote_ident(relname) AS name, to_jsonb(ARRAY[
    relkind::text, relowner::regrole::text, relacl::text, CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END,
    CASE WHEN $2 THEN oid::text END
]) AS definition
FROM pg_class AS each
WHERE relnamespace::regnamespace::text !~ '^pg_' AND relnamespace <> 'information_schema'::regnamespace
    AND oid <> $1::oid AND NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = each.oid AND indrelid = $1::oid)
    AND NOT EXISTS (
        SELECT FROM pg_depend WHERE objid = each.oid AND classid = 'pg_class'::regclass AND refobjid = $1::oid
            AND deptype IN ('a', 'i')
    )
UNION ALL
SELECT 'schema', nspname, to_jsonb(nspowner::regrole::text) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
UNION ALL
SELECT 'role', rolname, to_jsonb(rolsuper) FROM pg_roles
UNION ALL
SELECT 'function', oid::regprocedure::text, to_jsonb(prosrc) FROM pg_proc WHERE pronamespace::regnamespace::text !~ '^pg_'
"""


async def described(connection: Any, query: str, *arguments: Any) -> dict[tuple[str, str], str]:
    """What there is, by its kind and name."""
    rows = await connection.fetch(query, *arguments)
    return {(row["kind"], row["name"]): row["definition"] for row in rows}


@dataclass(frozen=True)
class Names:
    """What everything is called in one example."""

    table: str
    schema: str
    owner: str
    reader: str
    writer: str
    canary: str
    index: str
    expression: str
    partial: str
    rule: str
    check: str
    unique: str
    exclusion: str
    statistics: str
    function: str
    collation: str
    operators: str
    column: str
    other_column: str
    tablespace: str
    publication: str
    view: str
    trigger: str
    policy: str


def all_names() -> st.SearchStrategy[Names]:
    count = len(Names.__dataclass_fields__)
    return st.lists(hostile_names(), min_size=count, max_size=count, unique=True).map(
        lambda drawn: Names(*drawn)
    )


def projection_of(table: str) -> Projection[Any]:
    """A projection of a user's own with such a table, and that name."""
    made: Any = type(
        "HitsInTable",
        (HitsByNumber,),
        {"name": table, "table": Table(table, row=HitsOfNumber, key=("number",))},
    )
    one: Projection[Any] = made()
    return one


def made_by_a_user(names: Names) -> list[str]:
    """The statements that a user runs around the table of a projection; all that a new table may take over."""
    table, schema = identifier("public", names.table), identifier(names.schema)
    owner, reader, writer = identifier(names.owner), identifier(names.reader), identifier(names.writer)
    column, other = identifier(names.column), identifier(names.other_column)
    function, operators = identifier(names.schema, names.function), identifier(names.schema, names.operators)
    collation, said = identifier(names.schema, names.collation), text_literal(names.rule)
    tablespace = identifier(names.tablespace)
    return [
        *(f"CREATE ROLE {role}" for role in (owner, reader, writer)),
        f"CREATE SCHEMA {schema} AUTHORIZATION {owner}",
        f"GRANT CREATE ON SCHEMA public TO {owner}",
        "SET allow_in_place_tablespaces = on",
        f"CREATE TABLESPACE {tablespace} LOCATION ''",
        f"GRANT CREATE ON TABLESPACE {tablespace} TO {owner}",
        f'CREATE COLLATION {collation} FROM "C"',
        f"CREATE FUNCTION {function}(int8) RETURNS int8 IMMUTABLE LANGUAGE sql AS 'SELECT 7 - $1'",
        (
            f"CREATE OPERATOR CLASS {operators} FOR TYPE int8 USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, "
            "OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint8cmp(int8, int8)"
        ),
        f"CREATE TABLE {identifier(names.schema, names.table)} (kept int)",
        f"CREATE TABLE {identifier('public', names.canary)} (kept int)",
        f"INSERT INTO {identifier('public', names.canary)} VALUES (1)",
        f"ALTER TABLE {identifier('public', names.canary)} OWNER TO {reader}",
        (
            f"ALTER TABLE {table} ADD {column} text COLLATE {collation} DEFAULT {said}, "
            f"ADD {other} int8 GENERATED ALWAYS AS (number * 2) STORED, ADD ident int GENERATED BY DEFAULT AS IDENTITY, "
            "ADD counted serial"
        ),
        (
            f"CREATE INDEX {identifier(names.index)} ON {table} (number {operators} DESC NULLS LAST) INCLUDE ({column}) "
            f"WITH (fillfactor = 61) TABLESPACE {tablespace}"
        ),
        f"CREATE INDEX {identifier(names.expression)} ON {table} ({function}(number), {column} COLLATE {collation})",
        f"ALTER INDEX {identifier('public', names.expression)} ALTER COLUMN 1 SET STATISTICS 77",
        f"CREATE UNIQUE INDEX {identifier(names.partial)} ON {table} ({other}, number) WHERE {column} <> {said}",
        f"ALTER TABLE {table} ADD CONSTRAINT {identifier(names.check)} CHECK ({column} <> {said} || 'x')",
        (
            f"ALTER TABLE {table} ADD CONSTRAINT {identifier(names.unique)} UNIQUE (number, {other}) "
            f"WITH (fillfactor = 62) USING INDEX TABLESPACE {tablespace} DEFERRABLE"
        ),
        f"ALTER TABLE {table} ADD CONSTRAINT {identifier(names.exclusion)} EXCLUDE USING btree (({function}(number)) WITH =)",
        f"CREATE STATISTICS {identifier(names.schema, names.statistics)} (ndistinct, mcv) ON number, ({function}(number)) FROM {table}",
        f"ALTER STATISTICS {identifier(names.schema, names.statistics)} SET STATISTICS 55",
        f"COMMENT ON STATISTICS {identifier(names.schema, names.statistics)} IS {said}",
        f"COMMENT ON TABLE {table} IS {said}",
        f"COMMENT ON COLUMN {table}.{column} IS {said}",
        f"COMMENT ON INDEX {identifier('public', names.index)} IS {said}",
        f"COMMENT ON CONSTRAINT {identifier(names.unique)} ON {table} IS {said}",
        f"COMMENT ON CONSTRAINT {identifier(names.check)} ON {table} IS {said}",
        f"ALTER TABLE {table} SET (fillfactor = '0x3F', autovacuum_enabled = 'tr', toast.autovacuum_enabled = off)",
        f"ALTER TABLE {table} ALTER {column} SET (n_distinct = '0x1p3'), ALTER {column} SET STORAGE external",
        f"ALTER TABLE {table} ALTER {column} SET STATISTICS 99",
        f"ALTER TABLE {table} CLUSTER ON {identifier(names.index)}",
        f"ALTER TABLE {table} ALTER hits SET NOT NULL, ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} OWNER TO {owner}",
        f"ALTER TABLE {table} SET TABLESPACE {tablespace}",
        f"GRANT SELECT ON {table} TO {reader} WITH GRANT OPTION",
        f"GRANT UPDATE ({column}, {other}) ON {table} TO {writer}",
        f"GRANT INSERT ON {table} TO PUBLIC",
        f"REVOKE TRUNCATE ON {table} FROM {owner}",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT DELETE ON TABLES TO {writer}",
    ]


def hung_on_it(names: Names) -> list[str]:
    """What hangs on the table itself, and stays where it is rebuilt in place."""
    table, reader = identifier("public", names.table), identifier(names.reader)
    view = identifier(names.schema, names.view)
    return [
        f"CREATE VIEW {view} AS SELECT number AS {identifier(names.column)} FROM {table}",
        (
            f"CREATE TRIGGER {identifier(names.trigger)} BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change()"
        ),
        f"CREATE POLICY {identifier(names.policy)} ON {table} TO {reader} USING (number > 0)",
        (
            f"CREATE PUBLICATION {identifier(names.publication)} FOR TABLE {table} "
            '("number", "hits", "last_position") WHERE (number > 0)'
        ),
    ]


def taken_away(names: Names) -> list[str]:
    """The statements after which the next example begins as the first one did."""
    return [
        f"DROP PUBLICATION IF EXISTS {identifier(names.publication)}",
        f"DROP TABLE IF EXISTS {identifier('public', names.table)}, {identifier('public', names.canary)} CASCADE",
        f"DROP SCHEMA IF EXISTS {identifier(names.schema)} CASCADE",
        *(
            statement
            for role in (names.owner, names.reader, names.writer)
            for statement in (f"DROP OWNED BY {identifier(role)} CASCADE", f"DROP ROLE {identifier(role)}")
        ),
        f"DROP TABLESPACE {identifier(names.tablespace)}",
    ]


@pytest.mark.parametrize("in_place", [False, True], ids=["replaced", "in place"])
async def test_a_rebuild_keeps_everything_of_any_name(store: EventStore, in_place: bool):
    """Columns, indexes, constraints, statistics, rights, comments and settings are as before; so is all that is others'."""

    async def rebuilt(names: Names) -> None:
        projection = projection_of(names.table)
        async with store.connection.acquire_for_user() as connection:
            await connection.execute(projection.table.create())
            try:
                for statement in (*made_by_a_user(names), *(hung_on_it(names) if in_place else ())):
                    await connection.execute(statement)
                await fold_all(store, projection)
                oid = await connection.fetchval(
                    "SELECT $1::text::regclass::oid", identifier("public", names.table)
                )
                mine = await described(connection, TABLE, oid)
                others = await described(connection, OTHERS, oid, True)
                done = await rebuild(store.log, projection)
                assert (done.rows, done.rows_changed is not None) == (3, in_place)
                oid = await connection.fetchval(
                    "SELECT $1::text::regclass::oid", identifier("public", names.table)
                )
                assert await described(connection, TABLE, oid) == mine
                assert await described(connection, OTHERS, oid, True) == others
                kept = await connection.fetchval(f"SELECT kept FROM {identifier('public', names.canary)}")
                assert kept == 1
            finally:
                for statement in taken_away(names):
                    await connection.execute(statement)

    await store.log.append(hits(*(Hit(number=number) for number in (1, 2, 3, 3))))
    await run_examples(rebuilt, all_names())


async def run_examples(tried: Callable[[Any], Any], drawn: st.SearchStrategy[Any], number: int = 8) -> None:
    """Try examples in a thread, each in this event loop."""
    loop = asyncio.get_running_loop()

    @settings(
        max_examples=examples(number),
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @given(drawn)
    def search(example: Any) -> None:
        asyncio.run_coroutine_threadsafe(tried(example), loop).result()

    await asyncio.to_thread(search)


# ---- what is in the way, and what would be lost -----------------------------------------------------------------


@pytest.mark.parametrize("made", ["TABLE {} (kept int)", "VIEW {} AS SELECT 1 AS kept", "SEQUENCE {}"])
@pytest.mark.parametrize("name", ["hits", "x" * 63])
async def test_what_has_the_name_of_the_table_beside_is_left_alone(store: EventStore, made: str, name: str):
    """A rebuild, and the end of one, refuse it by name, and drop nothing that no rebuild has made."""
    projection = projection_of(name)
    beside = identifier("public", beside_name(projection))
    await store.log.append(hits(Hit(number=1)))
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(projection.table.create())
        await connection.execute("CREATE " + made.format(beside))
        for refused in (rebuild(store.log, projection), abandon(store.log, projection)):
            with pytest.raises(RebuildError, match="was not made by a rebuild") as caught:
                await refused
            assert beside in str(caught.value)
        assert await connection.fetchval("SELECT to_regclass($1)", beside) is not None
        await connection.execute(f"DROP {made.partition(' ')[0]} {beside}")
        assert (await rebuild(store.log, projection)).rows == 1
        assert (
            await connection.fetchval("SELECT obj_description($1::text::regclass)", identifier(name)) is None
        )


NAMED_ELSEWHERE = {
    "CREATE FUNCTION of_a_row(hits) RETURNS int LANGUAGE sql AS 'SELECT 1'": "function public.of_a_row",
    "CREATE FUNCTION rows_of() RETURNS SETOF hits LANGUAGE sql AS 'SELECT * FROM hits'": "function public.rows_of",
    "CREATE TABLE other (kept hits)": "table column public.other.kept",
    "CREATE TABLE other (kept hits[])": "table column public.other.kept",
    "CREATE TABLE other (kept regclass DEFAULT 'hits'::regclass)": "default value for public.other.kept",
    (
        "CREATE TABLE other (kept int); "
        "CREATE POLICY p ON other USING (EXISTS (SELECT FROM hits WHERE number = kept))"
    ): "policy p on public.other",
    "CREATE DOMAIN kept AS hits": "type public.kept",
    (
        "CREATE TYPE one AS (number bigint, hits bigint, last_position bigint); ALTER TABLE hits OF one"
    ): "type one",
}


@pytest.mark.parametrize("statements", NAMED_ELSEWHERE, ids=NAMED_ELSEWHERE.values())
async def test_what_names_the_table_elsewhere_is_named_before_anything_is_built(
    store: EventStore, statements: str
):
    """Nothing is found out at the swap, after hours of building; in place it is no matter."""
    projection = HitsByNumber()
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(projection.table.create())
        await connection.execute(statements)
    with pytest.raises(RebuildError, match=NAMED_ELSEWHERE[statements]):
        await rebuild(store.log, projection)
    assert (await rebuild(store.log, projection, in_place=True)).rows == 0


# ---- columns ----------------------------------------------------------------------------------------------------

# What statements of the library call something, what SQL reserves, and what Python takes apart.
_COLUMNS = (
    "r", "a", "b", "line", "old", "new", "given", "key", "key_0", "excluded", "user", "select", "number", "equal",
    "EXCLUDED", "a.b", "%s", "{schema}", "$1", "$$", '"', "\\", "the row", "ﬁ", "e\u0301",
)  # fmt: skip


def projection_with(columns: list[str]) -> Projection[Any]:
    """A projection whose key is of two columns, and that has two more."""
    keys, values = columns[:2], columns[2:4]
    fields: Any = dict.fromkeys(keys, (int, ...)) | dict.fromkeys(values, (str, ...))
    row: Any = create_model("Row", **fields)

    class Named(Projection[Any]):
        name = "named"
        table = Table("named", row=row, key=keys)
        events = (Hit,)

        def key(self, event: RecordedEvent) -> tuple[Any, ...]:
            return (hit(event).number, 2)

        def evolve(self, before: Any | None, event: RecordedEvent) -> Any:
            said = "x" * (1 + (len(getattr(before, values[0])) if before else 0))
            return row(**{keys[0]: hit(event).number, keys[1]: 2, values[0]: said, values[1]: "y"})

    return Named()


async def test_columns_may_have_any_name(store: EventStore):
    """Rows are folded, read fresh, compared and rebuilt; a row that is wrong in any one column is found by its key."""

    async def tried(columns: list[str]) -> None:
        projection = projection_with(columns)
        async with store.connection.acquire_for_user() as connection:
            await connection.execute(
                "DELETE FROM projections; DELETE FROM projection_checkpoints; DROP TABLE IF EXISTS named"
            )
            await connection.execute(projection.table.create())
            await fold_all(store, projection)
            assert await FreshRows(store.log, projection).get(3, 2) is not None
            assert (await compare_with_rebuild(store.log, projection)).is_equal
            for column in columns[2:4]:
                wrong = f"UPDATE named SET {identifier(column)} = 'z' WHERE {identifier(columns[0])} = 3"
                assert await connection.execute(wrong) == "UPDATE 1"
                assert (await compare_with_rebuild(store.log, projection)).different_keys == ("(3,2)",)
                assert (await rebuild(store.log, projection, in_place=True)).rows_changed == 1
            assert (await rebuild(store.log, projection)).rows == 3

    await store.log.append(hits(*(Hit(number=number) for number in (1, 2, 3, 3))))
    await tried(["line", "a.b", "r", "{schema}"])
    await tried(["key_0", "user", "old", "new"])
    names = st.one_of(
        st.sampled_from(_COLUMNS), hostile_names().filter(lambda one: not one.startswith(("_", "model")))
    )
    await run_examples(tried, st.lists(names, min_size=4, max_size=4, unique=True))


@pytest.mark.parametrize(
    "name", ["", "x" * 64, "ü" * 32, "a\0b", "\ud800"], ids=["none", "long", "bytes", "NUL", "half"]
)
def test_a_name_that_postgresql_cannot_have_is_refused(name: str):
    """It would be cut, and so meet another one; the class of the projection is not made."""
    with pytest.raises(ConfigurationError, match="cannot be a name in PostgreSQL"):
        Table(name, row=HitsOfNumber, key=("number",))
    if name and name != "\ud800":  # of which pydantic makes no model
        with pytest.raises(ConfigurationError, match="cannot be a name in PostgreSQL"):
            Table("hits", row=create_model("Row", **{name: (int, ...)}), key=(name,))  # type: ignore[call-overload]


def test_the_column_of_the_last_position_is_no_field():
    """Every projection keeps it, so a field of its name is refused."""
    row: Any = create_model("Row", last_position=(int, ...))
    with pytest.raises(ConfigurationError, match="last_position"):
        Table("hits", row=row, key=("last_position",))


# ---- a whole store ----------------------------------------------------------------------------------------------


async def test_a_store_and_its_roles_may_have_any_name(database_config: DatabaseConfig):
    """Migrations, workers, rights, publications and rebuilds take the name of a schema, a role and a table for a name."""

    async def tried(names: list[str]) -> None:
        schema, table, writer, projector, publication = names
        projection = projection_of(table)
        admin = await admin_connection(database_config)
        try:
            await admin.execute("DROP TABLE IF EXISTS canary")
            await admin.execute("CREATE TABLE canary (kept int)")
            for role in (writer, projector):
                await admin.execute(f"CREATE ROLE {identifier(role)}")
            before = {one for one in await described(admin, OTHERS, 0, True) if one[0] != "index"}
            async with EventStore.open(
                database_config.replace(schema=schema), migrate=True, workers=False
            ) as store:
                await admin.execute(projection.table.create(schema=schema))
                await store.log.append(hits(*(Hit(number=number) for number in (1, 2, 3, 3))))
                await fold_all(store, projection)
                adapter = PostgreSQLAdapter(store.connection)
                given: Any = {"writer": writer, "projector": projector, "tables": [table]}
                granted = await grant(adapter, **given)
                # The server's owner is a superuser here, and nothing else is to be remarked.
                assert granted.is_as_intended
                assert len(granted.statements) > 10
                assert (await grant(adapter, **given)).statements == ()
                assert {*granted.roles[0].rights} | {*granted.roles[1].rights} >= {table, "events"}
                assert (await rebuild(store.log, projection)).rows == 3
                assert (await grant(adapter, **given)).statements == ()
                await admin.execute(
                    f"CREATE PUBLICATION {identifier(publication)} FOR TABLES IN SCHEMA {identifier(schema)}"
                )
                assert (await rebuild(store.log, projection)).rows_changed == 0
                found = await check(store.log, [projection])
                assert found.is_sound, found.findings
                for role in (writer, projector):
                    assert (await grant(adapter, revoke=role)).roles[0].rights.keys() <= {"events"} | {schema}
            await admin.execute(f"DROP PUBLICATION {identifier(publication)}")
            await admin.execute(f"DROP SCHEMA {identifier(schema)} CASCADE")
            assert {*await described(admin, OTHERS, 0, True)} == before
        finally:
            await admin.execute(f"DROP SCHEMA IF EXISTS {identifier(schema)} CASCADE")
            for role in (writer, projector):
                await admin.execute(f"DROP OWNED BY {identifier(role)} CASCADE")
                await admin.execute(f"DROP ROLE {identifier(role)}")
            await admin.close()

    names = st.lists(hostile_names(), min_size=5, max_size=5, unique=True)
    await run_examples(tried, names.filter(lambda drawn: drawn[0].isprintable()), 4)
