-- Purpose: Return whether a relation with a name exists, whether it is UNLOGGED, and whether a rebuild created it.
-- Parameters:
--   $1 name text quoted
--   $2 mark text the comment of tables that a rebuild creates
-- Result: is_unlogged boolean; is_made boolean; no row if there is none
-- Locks: none
-- Index: those of the system tables
SELECT
    relpersistence = 'u' AS is_unlogged,
    relkind = 'r' AND coalesce(pg_catalog.obj_description(oid, 'pg_class') = $2::pg_catalog.text, false) AS is_made
FROM pg_catalog.pg_class
WHERE oid = pg_catalog.to_regclass($1::pg_catalog.text)::pg_catalog.oid
