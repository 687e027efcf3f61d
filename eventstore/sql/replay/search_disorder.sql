-- Purpose: Search a range of positions for streams out of order, store them, and move the mark; do nothing if another
--   process has moved it since.
-- Parameters:
--   $1 after bigint position, exclusive; the present mark
--   $2 through bigint position, inclusive; final
-- Result: position bigint, no row if nothing was done
-- Locks: the row of disorder_search
-- Index: events_position_key, events_pkey
WITH moved AS (
    UPDATE {schema}.disorder_search SET position = $2::bigint WHERE position = $1::bigint RETURNING position
),
kept AS (
    INSERT INTO {schema}.disordered_streams (stream_id, category, version)
    SELECT event.stream_id, event.category, pg_catalog.min(event.version)
    FROM {schema}.events AS event
    JOIN {schema}.events AS predecessor
        ON predecessor.stream_id = event.stream_id AND predecessor.version = event.version - 1
    WHERE event.position > $1::bigint AND event.position <= $2::bigint
        AND event.occurred_at < predecessor.occurred_at
        AND EXISTS (SELECT FROM moved)
    GROUP BY event.stream_id, event.category
    ON CONFLICT (stream_id) DO NOTHING
)
SELECT position FROM moved
