-- Purpose: Return the estimated number of rows of a table at its last ANALYZE, and whether it has unique rules
--   besides its key.
-- Parameters:
--   $1 name text quoted
-- Result: rows bigint, has_rules boolean
-- Locks: none
-- Index: those of the system tables
SELECT
    greatest(one.reltuples, 0)::bigint AS rows,
    EXISTS (
        SELECT FROM pg_catalog.pg_index
        WHERE indrelid = one.oid AND NOT indisprimary AND (indisunique OR indisexclusion)
    ) AS has_rules
FROM pg_catalog.pg_class AS one
WHERE one.oid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
