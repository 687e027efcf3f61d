-- Purpose: Return which events of an append are in the log already, whether each has equal fields, and which others
--   were appended with it (append_digest; if that is 0, whether its neighbours in the stream have its recorded_at);
--   and the present version of each stream. All events come in one document, as for `append`: for an array per column
--   asyncpg would have to look up the types first, once on each connection.
-- Parameters:
--   $1 events text JSON: an array of objects with the names and types below, in staging order
-- Result: position bigint, recorded_at timestamptz, same boolean (all NULL if the version is free), append_digest
--   integer, with_before boolean, with_after boolean, actual integer; one row for each event, in staging order
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey
SELECT
    stored.position,
    stored.recorded_at,
    stored.event_id = sent.event_id
        AND stored.category = sent.category
        AND stored.type = sent.type
        AND stored.schema_version = sent.schema_version
        AND stored.data = sent.data
        AND stored.metadata = sent.metadata
        AND stored.occurred_at = sent.occurred_at AS same,
    stored.append_digest,
    EXISTS (
        SELECT FROM {schema}.events AS before
        WHERE before.stream_id = stored.stream_id
            AND before.version = stored.version - 1
            AND before.recorded_at = stored.recorded_at
    ) AS with_before,
    EXISTS (
        SELECT FROM {schema}.events AS after
        WHERE after.stream_id = stored.stream_id
            AND after.version = stored.version + 1
            AND after.recorded_at = stored.recorded_at
    ) AS with_after,
    coalesce((
        SELECT last.version FROM {schema}.events AS last
        WHERE last.stream_id = sent.stream_id
        ORDER BY last.version DESC
        LIMIT 1
    ), 0) AS actual
FROM ROWS FROM (
    pg_catalog.json_to_recordset((SELECT $1::pg_catalog.text::pg_catalog.json)) AS (
        stream_id pg_catalog.uuid, version integer, event_id pg_catalog.uuid, category pg_catalog.text, type pg_catalog.text, schema_version smallint,
        data pg_catalog.jsonb, metadata pg_catalog.jsonb, occurred_at pg_catalog.timestamptz
    )
) WITH ORDINALITY AS sent (
    stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, place
)
LEFT JOIN {schema}.events AS stored ON stored.stream_id = sent.stream_id AND stored.version = sent.version
ORDER BY sent.place
