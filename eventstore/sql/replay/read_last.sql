-- Purpose: Read the last events of the given categories and types, newest first.
-- Parameters:
--   $1 through bigint position, inclusive
--   $2 limit bigint events
--   $3 categories text[] NULL for every category
--   $4 types text[] NULL for every type
-- Result: the columns of events
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key, backwards
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
FROM {schema}.events
WHERE position <= $1::bigint
    AND ($3::pg_catalog.text[] IS NULL OR category = ANY ($3::pg_catalog.text[]))
    AND ($4::pg_catalog.text[] IS NULL OR type = ANY ($4::pg_catalog.text[]))
ORDER BY position DESC
LIMIT $2::bigint
