-- Purpose: Find the streams of a category with an event that occurred after a time.
-- Parameters:
--   $1 category text
--   $2 at timestamp with time zone exclusive
--   $3 through bigint position, inclusive
-- Result: stream_id uuid
-- Locks: none beyond ACCESS SHARE
-- Index: events_lookup_brin
SELECT DISTINCT stream_id FROM {schema}.events
WHERE occurred_at > $2::pg_catalog.timestamptz AND position + 0 <= $3::bigint AND category = $1::pg_catalog.text
