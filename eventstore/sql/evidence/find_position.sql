-- Purpose: Find the first event with an id.
-- Parameters:
--   $1 event_id uuid
-- Result: position bigint
-- Locks: none beyond ACCESS SHARE
-- Index: events_lookup_brin
SELECT position + 0 AS position FROM {schema}.events WHERE event_id = $1::pg_catalog.uuid ORDER BY position + 0 LIMIT 1
