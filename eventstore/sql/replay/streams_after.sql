-- Purpose: Find the streams of a category with an event in a range of positions.
-- Parameters:
--   $1 category text
--   $2 after bigint position, exclusive
--   $3 through bigint position, inclusive
-- Result: stream_id uuid
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT DISTINCT stream_id FROM {schema}.events
WHERE position > $2::bigint AND position <= $3::bigint AND category = $1::pg_catalog.text
