-- Purpose: List the migrations that were applied.
-- Parameters: none
-- Result: version integer, name text, checksum text, applied_at timestamp with time zone; by version
-- Locks: ACCESS SHARE on schema_migrations
-- Index: none: the table has a few rows
SELECT version, name, checksum, applied_at
FROM {schema}.schema_migrations
ORDER BY version
