-- Purpose: Find the streams whose ids lie in a range, such as all ids with one beginning.
-- Parameters:
--   $1 first uuid inclusive
--   $2 last uuid inclusive
--   $3 category text NULL for all
--   $4 limit bigint
-- Result: stream_id uuid, category text
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey
SELECT stream_id, category
FROM {schema}.events
WHERE stream_id >= $1::pg_catalog.uuid AND stream_id <= $2::pg_catalog.uuid AND version = 1
    AND ($3::pg_catalog.text IS NULL OR category = $3::pg_catalog.text)
ORDER BY stream_id
LIMIT $4::bigint
