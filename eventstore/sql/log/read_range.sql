-- Purpose: Read a range of positions in order. Only a settled range is complete: see find_settled.sql.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
--   $3 limit bigint events
--   $4 categories text[] NULL for every category
-- Result: the columns of events
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
FROM {schema}.events
WHERE position > $1::bigint AND position <= $2::bigint AND ($4::pg_catalog.text[] IS NULL OR category = ANY ($4::pg_catalog.text[]))
ORDER BY position
LIMIT $3::bigint
