-- Purpose: Find events by their id. The log does not enforce that an id is used once; the first one comes first. Every
--   position is above 0: saying so tells the planner, which knows nothing of ids that ascend or not, that what it
--   looks for lies close together; and the order is not one that it could read the whole log in.
-- Parameters:
--   $1 event_id uuid
-- Result: the columns of events
-- Locks: none beyond ACCESS SHARE
-- Index: events_lookup_brin
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
FROM {schema}.events
WHERE event_id = $1::pg_catalog.uuid AND position + 0 > 0
ORDER BY position + 0
