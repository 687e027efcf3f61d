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
        pg_catalog.format('CREATE %sINDEX %I ON %s%s', CASE WHEN each.indisunique THEN 'UNIQUE ' END, made.name, $2::pg_catalog.text,
               pg_catalog.substr(pg_catalog.pg_get_indexdef(each.indexrelid), pg_catalog.strpos(pg_catalog.pg_get_indexdef(each.indexrelid), ' USING ')))
    END AS statement
FROM pg_catalog.pg_index AS each
JOIN pg_catalog.pg_class AS index ON index.oid = each.indexrelid
CROSS JOIN LATERAL (SELECT 'rebuild_' || pg_catalog.md5($2::pg_catalog.text || index.relname) AS name) AS made
LEFT JOIN pg_catalog.pg_constraint AS keys ON keys.conindid = each.indexrelid AND keys.contype IN ('p', 'u', 'x')
WHERE each.indrelid = $1::pg_catalog.text::pg_catalog.regclass
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_index AS other
        JOIN pg_catalog.pg_class AS there ON there.oid = other.indexrelid
        WHERE other.indrelid = $2::pg_catalog.text::pg_catalog.regclass AND there.relname = made.name
    )
ORDER BY index.relname
