-- Purpose: Tell whether there is a table of a name.
-- Parameters:
--   $1 name text quoted
-- Result: exists boolean
-- Locks: none
-- Index: those of the system tables
SELECT pg_catalog.to_regclass($1::pg_catalog.text) IS NOT NULL AS exists
