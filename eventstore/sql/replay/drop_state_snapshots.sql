-- Purpose: Drop the state snapshots at a position, or all.
-- Parameters:
--   $1 position bigint NULL for all
-- Result: category text, position bigint of those that there were
-- Locks: none beyond the rows'
-- Index: none, it looks through a small table
DELETE FROM {schema}.state_snapshots WHERE $1::bigint IS NULL OR position = $1::bigint RETURNING category, position
