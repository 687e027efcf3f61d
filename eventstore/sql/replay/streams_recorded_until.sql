-- Purpose: Find the streams of a category with an event in a range of positions recorded at a time or before.
-- Parameters:
--   $1 category text
--   $2 at timestamp with time zone inclusive
--   $3 after bigint position, exclusive
--   $4 through bigint position, inclusive
-- Result: stream_id uuid
-- Locks: none beyond ACCESS SHARE
-- Index: events_lookup_brin
SELECT DISTINCT stream_id FROM {schema}.events
WHERE recorded_at <= $2::pg_catalog.timestamptz AND position + 0 > $3::bigint AND position + 0 <= $4::bigint
    AND category = $1::pg_catalog.text
