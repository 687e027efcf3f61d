-- One entity: its row, the last event that is folded into it, and the events of its stream that are not folded yet.
-- The row comes with the event that was folded into it last, and its id, version and position with each event.
-- The slots are named in eventstore/repositories/lists.py; the statements made of this are in tests/golden/sql.
SELECT
    {columns},
    folded.last_position,
    event.position, event.stream_id, event.version, event.event_id, event.category, event.type,
    event.schema_version, event.data, event.metadata, event.occurred_at, event.recorded_at
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
