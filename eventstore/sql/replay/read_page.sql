-- Purpose: Read a page of a settled range in the order of positions, of what is asked for.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
--   $3 limit bigint events
--   $4 categories text[] NULL for every category
--   $5 types text[] NULL for every type
--   $6 streams uuid[] NULL for every stream
-- Result: the columns of events
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
FROM {schema}.events
WHERE position > $1::bigint AND position <= $2::bigint
    AND ($4::pg_catalog.text[] IS NULL OR category = ANY ($4::pg_catalog.text[]))
    AND ($5::pg_catalog.text[] IS NULL OR type = ANY ($5::pg_catalog.text[]))
    -- A hashed subplan, whatever their number; an array would be searched one by one.
    AND ($6::pg_catalog.uuid[] IS NULL OR stream_id IN (SELECT pg_catalog.unnest($6::pg_catalog.uuid[])))
ORDER BY position
LIMIT $3::bigint
