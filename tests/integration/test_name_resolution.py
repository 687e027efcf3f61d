"""No statement of the library can be led to an object that somebody else made under the name of the one that it means."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest_asyncio

from eventstore.sql import render
from tests.migrated import migrate
from tools.lint import sql_header
from tools.statements import STATEMENTS

# What a function cannot consist of; their names are qualified, and they have no operators.
UTILITIES = re.compile(r"\s*(LOCK|CREATE)\b")

COMPARISONS = ("=", "<>", "<", ">", "<=", ">=", "@>", "<@", "&&", "~", "~~")
RESULTS = {
    **dict.fromkeys(COMPARISONS, "boolean"),
    **dict.fromkeys(("||", "->>"), "text"),
    "->": "jsonb",
    **dict.fromkeys(("+", "-", "*", "/", "%", "#"), "bigint"),
}
TYPES = (
    "bigint", "integer", "smallint", "text", "name", "uuid", "jsonb", "timestamptz", "numeric", "bytea", "boolean",
    "interval", '"char"', "oid", "xid8", "double precision", "real", "regclass", "int8range", "int2vector", "text[]",
    "bigint[]", "uuid[]", "smallint[]", '"char"[]', "varchar", "public.order_status", "public.order_side",
    "public.order_type", "public.time_in_force", "public.order_status[]",
)  # fmt: skip

HOSTILE = """
    CREATE SCHEMA hostile;
    DO $do$
    DECLARE
        pair record;
    BEGIN
        -- For each pair of types an operator of each name that PostgreSQL itself does not have for exactly these two.
        FOR pair IN
            SELECT op.name AS op, op.result, one, other
            FROM unnest({operators}::text[], {results}::text[]) AS op (name, result)
            CROSS JOIN unnest({types}::text[]) AS one
            CROSS JOIN unnest({types}::text[]) AS other
            WHERE NOT EXISTS (
                SELECT FROM pg_operator AS own
                WHERE own.oprname = op.name AND own.oprleft = one::regtype AND own.oprright = other::regtype
                    AND own.oprnamespace = 'pg_catalog'::regnamespace
            )
        LOOP
            EXECUTE format(
                'CREATE OR REPLACE FUNCTION hostile.%1$s_(%2$s, %3$s) RETURNS %1$s LANGUAGE sql AS ''SELECT NULL::%1$s''',
                pair.result, pair.one, pair.other);
            EXECUTE format('CREATE OPERATOR hostile.%1$s (LEFTARG = %2$s, RIGHTARG = %3$s, FUNCTION = hostile.%4$s_)',
                pair.op, pair.one, pair.other, pair.result);
        END LOOP;
    END
    $do$
"""

# What a function that consists of the statement depends on, in the schema of the attacker.
DEPENDS_ON = """
    SELECT DISTINCT pg_describe_object(d.refclassid, d.refobjid, 0) AS name
    FROM pg_depend AS d
    JOIN pg_operator AS o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
    WHERE d.classid = 'pg_proc'::regclass AND d.objid = (SELECT oid FROM pg_proc WHERE proname = 'probe')
        AND o.oprnamespace = 'hostile'::regnamespace
    ORDER BY name
"""


def _array(values: tuple[str, ...]) -> str:
    return "ARRAY[" + ", ".join("'" + value + "'" for value in values) + "]"


@dataclass
class Sessions:
    """Two sessions of one database: in the search path of the second lies the attacker's schema."""

    clean: asyncpg.Connection
    hostile: asyncpg.Connection

    async def led_to(self, statement: str) -> list[str]:
        """Name the attacker's operators that a statement would use."""
        prepared = await self.clean.prepare(statement)
        arguments = ", ".join(
            f'"{one.schema}"."{one.name.removesuffix("[]")}"{"[]" if one.name.endswith("[]") else ""}'
            for one in prepared.get_parameters()
        )
        try:
            await self.hostile.execute(
                f"CREATE FUNCTION hostile.probe({arguments}) RETURNS void LANGUAGE sql BEGIN ATOMIC {statement}; END"
            )
        except asyncpg.PostgresError as error:  # operands were taken to be of other types than they are
            return [str(error)]
        found = [row["name"] for row in await self.clean.fetch(DEPENDS_ON)]
        await self.hostile.execute("DROP FUNCTION hostile.probe")
        return found


@pytest_asyncio.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    """A database with an attacker's operator for every pair of types that PostgreSQL's own do not fit exactly."""
    await migrate(database_url)
    clean, hostile = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        arrays = {"types": TYPES, "operators": tuple(RESULTS), "results": tuple(RESULTS.values())}
        await clean.execute(
            HOSTILE.format(**{name: _array(values) for name, values in arrays.items()}), timeout=120
        )
        await hostile.execute("SET search_path = hostile, public")
        yield Sessions(clean, hostile)
    finally:
        await clean.close()
        await hostile.close()


async def test_no_operator_of_another_is_found(sessions: Sessions):
    """Whoever may create operators in a schema of the search path runs nothing of theirs with another's rights."""
    found: dict[str, list[str]] = {}
    for name, text in STATEMENTS.items():
        statement = render(sql_header.parse(text).statement, "public")
        if not UTILITIES.match(statement):
            found[name] = await sessions.led_to(statement)
    # The attack works: operands that are not of exactly the operator's types make the server look in every schema.
    assert await sessions.led_to("SELECT FROM public.orders WHERE status = 'FILLED'")
    assert await sessions.led_to("SELECT $1::text || $2::smallint")
    assert not await sessions.led_to("SELECT FROM public.orders WHERE status OPERATOR(pg_catalog.=) 'FILLED'")
    assert not [f"{name}: {operator}" for name, operators in found.items() for operator in operators]
