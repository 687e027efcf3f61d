-- Purpose: Read several streams, each in the order of its versions.
-- Parameters:
--   $1 stream_ids uuid[]
-- Result: the columns of events
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
FROM {schema}.events
WHERE stream_id = ANY ($1::pg_catalog.uuid[])
ORDER BY stream_id, version
