-- Purpose: Drop the state snapshots of a category that another schema of its class left behind.
-- Parameters:
--   $1 category text
--   $2 schema_hash integer
-- Result: none
-- Locks: none beyond the rows'
-- Index: state_snapshots_pkey
DELETE FROM {schema}.state_snapshots WHERE category = $1::pg_catalog.text AND schema_hash <> $2::integer
