-- Purpose: Read a page of a settled range in the order of positions, of those streams that belong to a part.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
--   $3 limit bigint events
--   $4 categories text[]
--   $5 parts integer how many there are
--   $6 part integer which one
-- Result: the columns of events
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
FROM {schema}.events
WHERE position > $1::bigint AND position <= $2::bigint AND category = ANY ($4::pg_catalog.text[])
    -- As projections/parts.py has it: the last two bytes of the id, which are random in every usual one.
    AND (pg_catalog.get_byte(pg_catalog.uuid_send(stream_id), 14) * 256 + pg_catalog.get_byte(pg_catalog.uuid_send(stream_id), 15)) % $5::integer = $6::integer
ORDER BY position
LIMIT $3::bigint
