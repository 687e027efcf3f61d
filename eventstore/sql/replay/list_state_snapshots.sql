-- Purpose: List the state snapshots.
-- Parameters: none
-- Result: category text, position bigint, recorded_through timestamptz, occurred_through timestamptz,
--   made_at timestamptz; in the order of position and category
-- Locks: none beyond ACCESS SHARE
-- Index: none, it reads all of a small table
SELECT category, position, recorded_through, occurred_through, made_at FROM {schema}.state_snapshots
ORDER BY position, category
