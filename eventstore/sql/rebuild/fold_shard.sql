-- Purpose: Read of a page of a final range, in the order of positions, what a rebuild needs that folds entities, only of streams
--   that belong to a shard.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
--   $3 limit bigint events
--   $4 categories text[]
--   $5 shards integer how many there are
--   $6 shard integer which one
--   $7 bytes_max bigint of JSON; the page ends with the event that reaches it
-- Result: position bigint, stream_id uuid, version integer, type text, schema_version smallint, data jsonb (NULL if the whole
--   row has to be looked at: it is nothing that the library writes), occurred_at timestamptz, metadata jsonb (NULL if there is
--   none), is_full boolean (true in the last row if there may be more events)
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT
    position, stream_id, version, type, schema_version,
    CASE WHEN is_usual THEN data END AS data,
    occurred_at,
    CASE WHEN metadata OPERATOR(pg_catalog.<>) pg_catalog.jsonb_build_object() THEN metadata END AS metadata,
    bytes >= $7::bigint AS is_full
FROM (
    SELECT position, stream_id, version, type, schema_version, data, metadata, occurred_at, is_usual, size, pg_catalog.sum(size) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) AS bytes
    FROM (
        SELECT
            position, stream_id, version, type, schema_version, data, metadata, occurred_at,
            {is_usual_envelope} AS is_usual,
            {event_bytes} AS size
        FROM {schema}.events
        WHERE position > $1::bigint AND position <= $2::bigint AND category = ANY ($4::pg_catalog.text[])
            -- The rule of `partition_of` in projections/keys.py.
            AND {uuid_hash stream_id} % $5::integer = $6::integer
        ORDER BY position
        LIMIT $3::bigint
    ) AS page
) AS counted
WHERE bytes - size < $7::bigint
ORDER BY position
