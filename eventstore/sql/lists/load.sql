-- One entity: its row, the last event that is folded into it, and the events of its stream that are not folded yet.
-- The row comes with the version and the position of the event that was folded into it last, and its id, version and
-- position with each event.
-- The slots are named in eventstore/repositories/lists.py; the statements made of this are in tests/golden/sql.
SELECT
    {columns},
    folded.last_position,
    event.position, event.stream_id, event.version,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.event_id END AS event_id,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.category END AS category,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.type END AS type,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.schema_version END AS schema_version,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.data END AS data,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.metadata END AS metadata,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.occurred_at END AS occurred_at,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.recorded_at END AS recorded_at
FROM (SELECT) AS one
LEFT JOIN {schema}.{table} AS folded ON folded.id = $1::pg_catalog.uuid
    -- A row from another version of the fold cannot be used: then the whole stream is folded.
    AND NOT EXISTS (
        SELECT FROM {schema}.projections AS built WHERE built.name = {projection} AND built.version <> {version}
    )
-- The versions of a stream have no gaps, so this is at most that many events; what comes after them is read in pages.
LEFT JOIN {schema}.events AS event ON event.stream_id = $1::pg_catalog.uuid
    AND event.version >= coalesce(folded.version, 1) AND event.version < coalesce(folded.version, 1) + {events_max}
LEFT JOIN LATERAL (SELECT folded.* WHERE folded.version = event.version) AS row ON true
