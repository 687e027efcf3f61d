-- Purpose: Return which events of an import are in the log already with equal fields.
-- Parameters:
--   $1 stream_ids uuid[] one for each event, as in all other arrays
--   $2 versions integer[]
--   $3 event_ids uuid[]
--   $4 categories text[]
--   $5 types text[]
--   $6 schema_versions smallint[]
--   $7 data text[] JSON
--   $8 metadata text[] JSON
--   $9 occurred_at timestamp with time zone[]
-- Result: position bigint NULL if the log does not have an equal event; one row for each event, in the given order
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey
SELECT stored.position
FROM unnest(
    $1::pg_catalog.uuid[], $2::integer[], $3::pg_catalog.uuid[], $4::pg_catalog.text[], $5::pg_catalog.text[], $6::smallint[], $7::pg_catalog.text[], $8::pg_catalog.text[],
    $9::pg_catalog.timestamptz[]
) WITH ORDINALITY AS sent (
    stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, place
)
LEFT JOIN {schema}.events AS stored ON stored.stream_id = sent.stream_id
    AND stored.version = sent.version
    AND stored.event_id = sent.event_id
    AND stored.category = sent.category
    AND stored.type = sent.type
    AND stored.schema_version = sent.schema_version
    AND stored.data = sent.data::pg_catalog.jsonb
    AND stored.metadata = sent.metadata::pg_catalog.jsonb
    AND stored.occurred_at = sent.occurred_at
ORDER BY sent.place
