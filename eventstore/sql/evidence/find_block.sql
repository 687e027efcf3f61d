-- Purpose: Find the seal whose block contains a position.
-- Parameters:
--   $1 position bigint
-- Result: block bigint
-- Locks: none beyond ACCESS SHARE
-- Index: none, all seals are read: there is one for a thousand events, and this runs rarely
SELECT block FROM {schema}.event_seals WHERE after_position < $1::bigint AND through_position >= $1::bigint ORDER BY block LIMIT 1
