-- Purpose: Read a window of positions for a proof: by bounds alone, in no batches, and all categories; of those streams that
--   belong to a part.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
--   $3 parts integer how many there are
--   $4 part integer which one
-- Result: the columns of events, in no order
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
FROM {schema}.events
WHERE position > $1::bigint AND position <= $2::bigint
    -- As projections/parts.py has it: the last two bytes of the id, which are random in every usual one.
    AND (pg_catalog.get_byte(pg_catalog.uuid_send(stream_id), 14) * 256 + pg_catalog.get_byte(pg_catalog.uuid_send(stream_id), 15)) % $3::integer = $4::integer
