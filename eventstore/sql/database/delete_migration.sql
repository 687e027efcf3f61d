-- Purpose: Delete the row of a migration that was undone.
-- Parameters:
--   $1 version integer
-- Result: none
-- Locks: ROW EXCLUSIVE on schema_migrations
-- Index: schema_migrations_pkey
DELETE FROM {schema}.schema_migrations
WHERE version = $1::integer
