-- Purpose: Find the range of positions of all events that were recorded between two points in time.
-- Parameters:
--   $1 after timestamp with time zone exclusive; NULL for the beginning
--   $2 until timestamp with time zone inclusive; NULL for the end
--   $3 through bigint position, inclusive
-- Result: first bigint, last bigint (positions; NULL if nothing was recorded then)
-- Locks: none beyond ACCESS SHARE
-- Index: events_lookup_brin
SELECT pg_catalog.min(position + 0) AS first, pg_catalog.max(position + 0) AS last
FROM {schema}.events
WHERE position + 0 <= $3::bigint
    AND recorded_at > coalesce($1::pg_catalog.timestamptz, '-infinity') AND recorded_at <= coalesce($2::pg_catalog.timestamptz, 'infinity')
