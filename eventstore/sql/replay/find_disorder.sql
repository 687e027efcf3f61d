-- Purpose: Find the streams with an event in a range of positions that occurred before its predecessor.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
-- Result: stream_id uuid, category text, version integer (the first such event)
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key, events_pkey
SELECT event.stream_id, event.category, pg_catalog.min(event.version) AS version
FROM {schema}.events AS event
JOIN {schema}.events AS predecessor
    ON predecessor.stream_id = event.stream_id AND predecessor.version = event.version - 1
WHERE event.position > $1::bigint AND event.position <= $2::bigint
    AND event.occurred_at < predecessor.occurred_at
GROUP BY event.stream_id, event.category
