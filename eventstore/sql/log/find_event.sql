-- Purpose: Find events by their id. The log does not enforce that an id is used once; the first event comes first.
--   Every position is above 0, but the condition makes the planner expect that the few matching events lie close
--   together. The order is by an expression, so that the planner cannot choose to read the whole log in that order.
-- Parameters:
--   $1 event_id uuid
-- Result: the columns of events
-- Locks: none beyond ACCESS SHARE
-- Index: events_lookup_brin
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
FROM {schema}.events
WHERE event_id = $1::pg_catalog.uuid AND position + 0 > 0
ORDER BY position + 0
