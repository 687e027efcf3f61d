-- Purpose: Find the last event of a stream that has a key in its metadata.
-- Parameters:
--   $1 key text
--   $2 stream_id uuid
-- Result: by text NULL; value jsonb; position, stream_id, version, recorded_at
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey
SELECT NULL::pg_catalog.text AS by, metadata -> $1::pg_catalog.text AS value, position, stream_id, version, recorded_at
FROM {schema}.events
WHERE stream_id OPERATOR(pg_catalog.=) $2::pg_catalog.uuid AND metadata ? $1::pg_catalog.text
ORDER BY version DESC
LIMIT 1
