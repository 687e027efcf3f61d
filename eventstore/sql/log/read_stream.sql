-- Purpose: Read a page of one stream in the order of its versions.
-- Parameters:
--   $1 stream_id uuid
--   $2 after_version integer exclusive
--   $3 limit bigint events
--   $4 bytes_max bigint of JSON; the page ends with the event that reaches it
-- Result: the columns of events, is_full boolean (true in the last row if there may be more events)
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at, bytes >= $4::bigint AS is_full
FROM (
    SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at, size, pg_catalog.sum(size) OVER (ORDER BY version ROWS UNBOUNDED PRECEDING) AS bytes
    FROM (
        SELECT
            position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at,
            {event_bytes} AS size
        FROM {schema}.events
        WHERE stream_id = $1::pg_catalog.uuid AND version > $2::integer
        ORDER BY version
        LIMIT $3::bigint
    ) AS page
) AS counted
WHERE bytes - size < $4::bigint
ORDER BY version
