-- Purpose: Find the last event of a window of positions that has a key in its metadata, for each value of another key.
-- Parameters:
--   $1 key text
--   $2 by text the other key; NULL: the last event of the whole window
--   $3 after bigint position, exclusive
--   $4 through bigint position, inclusive
--   $5 among text[] only these values of the other key; NULL for all
-- Result: by text NULL without $2; value jsonb; position, stream_id, version, recorded_at
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT DISTINCT ON (found.by) found.by, found.value, found.position, found.stream_id, found.version, found.recorded_at
FROM (
    SELECT
        CASE WHEN $2::pg_catalog.text IS NOT NULL THEN metadata ->> $2::pg_catalog.text END AS by,
        metadata -> $1::pg_catalog.text AS value,
        position, stream_id, version, recorded_at
    FROM {schema}.events
    WHERE position > $3::bigint AND position <= $4::bigint
        AND metadata ? $1::pg_catalog.text
        AND ($2::pg_catalog.text IS NULL OR metadata ? $2::pg_catalog.text)
) AS found
WHERE $5::pg_catalog.text[] IS NULL OR found.by = ANY ($5::pg_catalog.text[])
ORDER BY found.by, found.position DESC
