-- Purpose: Read a window of positions for a proof: by bounds alone, in no batches, and all categories.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
-- Result: the columns of events, in no order
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
FROM events
WHERE position > $1::bigint AND position <= $2::bigint
