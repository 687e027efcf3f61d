-- Purpose: Drop the milestones of a category that another form of its class left behind.
-- Parameters:
--   $1 category text
--   $2 form integer
-- Result: none
-- Locks: none beyond the rows'
-- Index: milestones_pkey
DELETE FROM {schema}.milestones WHERE category = $1::pg_catalog.text AND form <> $2::integer
