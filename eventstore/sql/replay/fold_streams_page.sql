-- Purpose: Read of a page of a final range, in the order of positions, what a fold of few streams in a long log needs.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
--   $3 limit bigint events
--   $4 categories text[] NULL for every category
--   $5 types text[] NULL for every type
--   $6 streams uuid[]
--   $7 bytes_max bigint of JSON; the page ends with the event that reaches it
-- Result: position bigint, stream_id uuid, version integer, type text, schema_version smallint, data jsonb (NULL if the whole
--   row has to be looked at: it is nothing that the library writes), occurred_at timestamptz, is_full boolean (true in the
--   last row if there may be more events)
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey
SELECT
    position, stream_id, version, type, schema_version,
    CASE WHEN is_usual THEN data END AS data,
    occurred_at, bytes >= $7::bigint AS is_full
FROM (
    SELECT position, stream_id, version, type, schema_version, data, occurred_at, is_usual, size, pg_catalog.sum(size) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) AS bytes
    FROM (
        SELECT
            position, stream_id, version, type, schema_version, data, occurred_at,
            {is_usual_envelope} AS is_usual,
            {event_bytes} AS size
        FROM (
            SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
            FROM {schema}.events
            WHERE stream_id = ANY ($6::pg_catalog.uuid[])
                -- Not by the index of positions, which covers the whole log.
                AND position + 0 > $1::bigint AND position + 0 <= $2::bigint
                AND ($4::pg_catalog.text[] IS NULL OR category = ANY ($4::pg_catalog.text[]))
                AND ($5::pg_catalog.text[] IS NULL OR type = ANY ($5::pg_catalog.text[]))
            OFFSET 0
        ) AS found
        ORDER BY position
        LIMIT $3::bigint
    ) AS page
) AS counted
WHERE bytes - size < $7::bigint
ORDER BY position
