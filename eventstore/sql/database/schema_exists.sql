-- Purpose: Check whether the schema of the store exists.
-- Parameters: none
-- Result: exists boolean
-- Locks: none
-- Index: pg_namespace_nspname_index
SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = {schema_name}::pg_catalog.name) AS exists
