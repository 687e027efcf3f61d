-- Purpose: Check whether a state snapshot still exists.
-- Parameters:
--   $1 id bigint
-- Result: exists boolean
-- Locks: none beyond ACCESS SHARE
-- Index: state_snapshots_id_key
SELECT EXISTS (SELECT FROM {schema}.state_snapshots WHERE id = $1::bigint) AS exists
