-- Purpose: Find events below the first position or without a position, and count the events after the last seal.
-- Parameters:
--   $1 through bigint last sealed position
-- Result: below bigint the lowest position under 1, or NULL; unplaced text the id of an
--   event without a position, or NULL; unsealed bigint events
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT
    (SELECT pg_catalog.min(position) FROM {schema}.events WHERE position < 1) AS below,
    (SELECT coalesce(event_id::pg_catalog.text, 'without an id') FROM {schema}.events WHERE position IS NULL LIMIT 1) AS unplaced,
    (SELECT pg_catalog.count(*) FROM {schema}.events WHERE position > $1::bigint) AS unsealed
