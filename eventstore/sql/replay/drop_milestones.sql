-- Purpose: Drop the milestones at a position, or all.
-- Parameters:
--   $1 position bigint NULL for all
-- Result: category text, position bigint of those that there were
-- Locks: none beyond the rows'
-- Index: none, it looks through a small table
DELETE FROM {schema}.milestones WHERE $1::bigint IS NULL OR position = $1::bigint RETURNING category, position
