-- Purpose: Return how long the first event after a position has waited.
-- Parameters:
--   $1 position bigint
-- Result: age_s double precision; no row if there is no event
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT extract(epoch FROM pg_catalog.clock_timestamp() - recorded_at)::double precision AS age_s
FROM {schema}.events
WHERE position > $1::bigint AND position <= {positions_max}
ORDER BY position
LIMIT 1
