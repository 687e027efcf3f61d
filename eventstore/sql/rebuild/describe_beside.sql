-- Purpose: Tell whether there is a table of a name, and whether it is UNLOGGED.
-- Parameters:
--   $1 name text quoted
-- Result: is_unlogged boolean; no row where there is none
-- Locks: none
-- Index: those of the system tables
SELECT relpersistence = 'u' AS is_unlogged
FROM pg_catalog.pg_class
WHERE oid = pg_catalog.to_regclass($1::pg_catalog.text)::pg_catalog.oid
