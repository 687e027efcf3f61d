-- Purpose: Read one stream in the order of its versions.
-- Parameters:
--   $1 stream_id uuid
--   $2 after_version integer exclusive
--   $3 limit bigint events
-- Result: the columns of events
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
FROM {schema}.events
WHERE stream_id = $1::pg_catalog.uuid AND version > $2::integer
ORDER BY version
LIMIT $3::bigint
