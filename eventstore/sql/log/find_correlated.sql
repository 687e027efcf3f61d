-- Purpose: Find the events of one correlation, and the event whose id is the correlation id, if there is one. For the
--   condition on position and the order by an expression see find_event.sql.
-- Parameters:
--   $1 correlation_id text
--   $2 event_id uuid the correlation id if it is a uuid; otherwise NULL
--   $3 limit bigint events
-- Result: the columns of events
-- Locks: none beyond ACCESS SHARE
-- Index: events_lookup_brin, once for each condition
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
FROM {schema}.events
WHERE (metadata ->> 'correlation_id'::pg_catalog.text = $1::pg_catalog.text OR event_id = $2::pg_catalog.uuid) AND position + 0 > 0
ORDER BY position + 0
LIMIT $3::bigint
