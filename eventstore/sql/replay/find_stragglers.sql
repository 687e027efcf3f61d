-- Purpose: Find the last position that was recorded up to a point in time. Clocks may step back, so it may come after
--   later times.
-- Parameters:
--   $1 at timestamp with time zone UTC
--   $2 after bigint position, exclusive
--   $3 through bigint position, inclusive
-- Result: last bigint position; NULL if there is none
-- Locks: none beyond ACCESS SHARE
-- Index: events_lookup_brin
SELECT pg_catalog.max(position + 0) AS last
FROM {schema}.events
WHERE recorded_at <= $1::pg_catalog.timestamptz AND position + 0 > $2::bigint AND position + 0 <= $3::bigint
