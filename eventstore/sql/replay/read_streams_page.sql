-- Purpose: Read a page of a settled range in the order of positions, of streams that are few in a long log.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
--   $3 limit bigint events
--   $4 categories text[] NULL for every category
--   $5 types text[] NULL for every type
--   $6 streams uuid[]
-- Result: the columns of events
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey
SELECT *
FROM (
    SELECT
        position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
    FROM {schema}.events
    WHERE stream_id = ANY ($6::pg_catalog.uuid[])
        -- Not by the index of position: it has the whole log.
        AND position + 0 > $1::bigint AND position + 0 <= $2::bigint
        AND ($4::pg_catalog.text[] IS NULL OR category = ANY ($4::pg_catalog.text[]))
        AND ($5::pg_catalog.text[] IS NULL OR type = ANY ($5::pg_catalog.text[]))
    OFFSET 0
) AS found
ORDER BY position
LIMIT $3::bigint
