-- Purpose: Find the seal whose block a position lies in.
-- Parameters:
--   $1 position bigint
-- Result: block bigint
-- Locks: none beyond ACCESS SHARE
-- Index: none, all seals are read: one for a thousand events, and this is not asked often
SELECT block FROM {schema}.event_seals WHERE after_position < $1::bigint AND through_position >= $1::bigint ORDER BY block LIMIT 1
