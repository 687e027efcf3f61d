-- Purpose: Find the streams that pass a point in time before some position, and the position where they do. All later
--   events of such a stream are beyond the point in time too, whatever their recorded_at.
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
