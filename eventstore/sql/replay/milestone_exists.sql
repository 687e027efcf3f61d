-- Purpose: Tell whether a milestone is still there.
-- Parameters:
--   $1 id bigint
-- Result: exists boolean
-- Locks: none beyond ACCESS SHARE
-- Index: milestones_id_key
SELECT EXISTS (SELECT FROM {schema}.milestones WHERE id = $1::bigint) AS exists
