-- Purpose: Read the events of a stream that are about executions with one of these ids, in the order of versions.
-- Parameters:
--   $1 stream_id uuid
--   $2 execution_ids text[]
-- Result: the columns of events
-- Locks: none beyond ACCESS SHARE
-- Index: events_execution_id_idx, events_new_execution_id_idx
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
FROM {schema}.events
WHERE stream_id = $1::pg_catalog.uuid AND version = ANY (ARRAY(
    SELECT of_id.version FROM {schema}.events AS of_id
    WHERE of_id.stream_id = $1::pg_catalog.uuid
        AND of_id.data ->> 'execution_id'::pg_catalog.text = ANY ($2::pg_catalog.text[])
    UNION
    SELECT to_id.version FROM {schema}.events AS to_id
    WHERE to_id.stream_id = $1::pg_catalog.uuid
        AND to_id.data ->> 'new_execution_id'::pg_catalog.text = ANY ($2::pg_catalog.text[])
))
ORDER BY version
