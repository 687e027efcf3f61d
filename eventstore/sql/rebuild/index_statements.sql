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
        format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::text, made.name, pg_get_constraintdef(keys.oid))
    ELSE
        format('CREATE %sINDEX %I ON %s%s', CASE WHEN each.indisunique THEN 'UNIQUE ' END, made.name, $2::text,
               substr(pg_get_indexdef(each.indexrelid), strpos(pg_get_indexdef(each.indexrelid), ' USING ')))
    END AS statement
FROM pg_index AS each
JOIN pg_class AS index ON index.oid = each.indexrelid
CROSS JOIN LATERAL (SELECT 'rebuild_' || md5($2::text || index.relname) AS name) AS made
LEFT JOIN pg_constraint AS keys ON keys.conindid = each.indexrelid AND keys.contype IN ('p', 'u', 'x')
WHERE each.indrelid = $1::text::regclass
    AND NOT EXISTS (
        SELECT FROM pg_index AS other
        JOIN pg_class AS there ON there.oid = other.indexrelid
        WHERE other.indrelid = $2::text::regclass AND there.relname = made.name
    )
ORDER BY index.relname
