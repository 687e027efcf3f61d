-- Purpose: Find events by their id. The log does not enforce that an id is used once; the first one comes first.
-- Parameters:
--   $1 event_id uuid
-- Result: the columns of events
-- Locks: none beyond ACCESS SHARE
-- Index: events_lookup_brin
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
FROM events
WHERE event_id = $1::uuid
ORDER BY position
