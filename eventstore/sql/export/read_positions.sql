-- Purpose: Read the events at some positions, in order.
-- Parameters:
--   $1 positions bigint[]
-- Result: the columns of events
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
FROM {schema}.events
WHERE position = ANY ($1::bigint[])
ORDER BY position
