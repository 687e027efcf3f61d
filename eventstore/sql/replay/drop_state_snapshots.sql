-- Purpose: Drop the state snapshots at a position, or all.
-- Parameters:
--   $1 position bigint NULL for all
-- Result: category text, position bigint of the dropped ones
-- Locks: none beyond the rows'
-- Index: none, it reads a small table
DELETE FROM {schema}.state_snapshots WHERE $1::bigint IS NULL OR position = $1::bigint RETURNING category, position
