"""What a schema holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventstore.database import PostgreSQLAdapter


async def names(adapter: PostgreSQLAdapter) -> set[str]:
    """The tables, types of our own and functions of the schema."""
    rows = await adapter.fetch_all("""
        SELECT relname::text AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')
        UNION ALL
        SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'
        UNION ALL
        SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    """)
    return {row["name"] for row in rows}


async def schema(adapter: PostgreSQLAdapter) -> list[tuple[str, ...]]:
    """Columns, constraints, indexes, triggers and functions of the schema, in words."""
    rows = await adapter.fetch_all("""
        SELECT 'column' AS kind, attrelid::regclass::text AS of, attname::text AS name,
               format_type(atttypid, atttypmod) || ' ' || attnotnull::text AS definition
          FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
         WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
          FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL
        SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL
        SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) || tgenabled::text
          FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL
        SELECT 'function', '', proname, pg_get_functiondef(oid)
          FROM pg_proc WHERE pronamespace = 'public'::regnamespace
         ORDER BY 1, 2, 3, 4
    """)
    assert rows
    return [tuple(row) for row in rows]
