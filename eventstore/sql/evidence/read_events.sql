-- Purpose: Read a range of positions in the form that is hashed: JSON as PostgreSQL writes it, times in PostgreSQL's
--   binary form, so that every value can be read.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
--   $3 limit bigint events; NULL for all
--   $4 bytes_max bigint of JSON; the page ends with the event that reaches it
-- Result: position bigint, stream_id uuid, version integer, event_id uuid, schema_version smallint, occurred_at
--   bytea, recorded_at bytea, category text, type text, data text, metadata text, is_full boolean (true in the last
--   row if there may be more events)
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT
    position, stream_id, version, event_id, schema_version, pg_catalog.timestamptz_send(occurred_at) AS occurred_at,
    pg_catalog.timestamptz_send(recorded_at) AS recorded_at, category, type, data::pg_catalog.text AS data,
    metadata::pg_catalog.text AS metadata, bytes >= $4::bigint AS is_full
FROM (
    SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at, size, pg_catalog.sum(size) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) AS bytes
    FROM (
        SELECT
            position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at,
            {event_bytes} AS size
        FROM {schema}.events
        WHERE position > $1::bigint AND position <= $2::bigint
        ORDER BY position
        LIMIT $3::bigint
    ) AS page
) AS counted
WHERE bytes - size < $4::bigint
ORDER BY position
