-- Purpose: Write the statements that make the indexes and constraints of a table which a table beside it lacks. Their names
--   are made of those that they will have, which are taken until the swap.
-- Parameters:
--   $1 live text the name of the table, quoted
--   $2 beside text the name of the other, quoted
-- Result: statement text
-- Locks: none
-- Index: those of the system tables
SELECT CASE
    WHEN keys.oid IS NOT NULL THEN
        pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::pg_catalog.text, made.name, pg_catalog.pg_get_constraintdef(keys.oid))
    ELSE
        pg_catalog.format(
            'CREATE %sINDEX %I ON %s USING %s', CASE WHEN each.indisunique THEN 'UNIQUE ' END, made.name,
            $2::pg_catalog.text, defined.body
        )
    END AS statement
FROM (
    SELECT relation.oid, relation.relname AS name, namespace.nspname AS schema
    FROM pg_catalog.pg_class AS relation
    JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = relation.relnamespace
    WHERE relation.oid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
) AS live
JOIN pg_catalog.pg_index AS each ON each.indrelid = live.oid
JOIN pg_catalog.pg_class AS index ON index.oid = each.indexrelid
CROSS JOIN LATERAL (SELECT 'rebuild_' || pg_catalog.md5($2::pg_catalog.text || index.relname::pg_catalog.text) AS name) AS made
-- The definition without what comes before its access method, which is as the server quotes it: to search the text for
-- ' USING ' would find it in the name of an index.
CROSS JOIN LATERAL (
    SELECT pg_catalog.format(
        'CREATE %sINDEX %I ON %I.%I USING ', CASE WHEN each.indisunique THEN 'UNIQUE ' END, index.relname,
        live.schema, live.name
    ) AS head
) AS before
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN pg_catalog.starts_with(pg_catalog.pg_get_indexdef(each.indexrelid), before.head)
        THEN pg_catalog.substr(pg_catalog.pg_get_indexdef(each.indexrelid), pg_catalog.length(before.head) + 1)
    END AS body
) AS defined
LEFT JOIN pg_catalog.pg_constraint AS keys ON keys.conindid = each.indexrelid AND keys.contype IN ('p', 'u', 'x')
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_index AS other
    JOIN pg_catalog.pg_class AS there ON there.oid = other.indexrelid
    WHERE other.indrelid = $2::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid AND there.relname = made.name::pg_catalog.name
)
ORDER BY index.relname
