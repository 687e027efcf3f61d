-- Purpose: Read of a page of one stream, in the order of its versions, what a fold needs.
-- Parameters:
--   $1 stream_id uuid
--   $2 after_version integer exclusive
--   $3 limit bigint events
--   $4 category text of the entity; a stream of another category has no rows
--   $5 bytes_max bigint of JSON; the page ends with the event that reaches it
-- Result: position bigint, stream_id uuid, version integer, type text, schema_version smallint, data jsonb (NULL if the whole
--   row has to be looked at: it is nothing that the library writes), occurred_at timestamptz, is_full boolean (true in the
--   last row if there may be more events)
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey
SELECT
    position, stream_id, version, type, schema_version,
    CASE WHEN is_usual THEN data END AS data,
    occurred_at, bytes >= $5::bigint AS is_full
FROM (
    SELECT position, stream_id, version, type, schema_version, data, occurred_at, is_usual, size, pg_catalog.sum(size) OVER (ORDER BY version ROWS UNBOUNDED PRECEDING) AS bytes
    FROM (
        SELECT
            position, stream_id, version, type, schema_version, data, occurred_at,
            {is_usual_envelope} AS is_usual,
            {event_bytes} AS size
        FROM {schema}.events
        WHERE stream_id = $1::pg_catalog.uuid AND version > $2::integer AND category = $4::pg_catalog.text
        ORDER BY version
        LIMIT $3::bigint
    ) AS page
) AS counted
WHERE bytes - size < $5::bigint
ORDER BY version
