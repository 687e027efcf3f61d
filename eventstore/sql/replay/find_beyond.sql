-- Purpose: Find the streams that go beyond a point in time before some position, and from where: what comes later in them
--   lies beyond it too, whatever the clock said when it was recorded.
-- Parameters:
--   $1 at timestamp with time zone UTC
--   $2 through bigint position, inclusive
-- Result: stream_id uuid, first bigint position
-- Locks: none beyond ACCESS SHARE
-- Index: events_lookup_brin
SELECT stream_id, pg_catalog.min(position) AS first
FROM {schema}.events
WHERE recorded_at > $1::pg_catalog.timestamptz AND position + 0 <= $2::bigint
GROUP BY stream_id
