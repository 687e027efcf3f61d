-- Purpose: List the keys that a rebuild cannot fold.
-- Parameters:
--   $1 projection text
-- Result: key text, position bigint
-- Locks: none beyond ACCESS SHARE
-- Index: projection_rebuild_failures_pkey
SELECT key, position FROM {schema}.projection_rebuild_failures WHERE projection = $1::pg_catalog.text
