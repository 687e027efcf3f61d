-- Purpose: Read the events of several streams, each after a version, that belong to a point in time; by occurred_at the
--   first event of a stream too, if another one occurred before it.
-- Parameters:
--   $1 stream_ids uuid[]
--   $2 after_versions integer[] exclusive, one for each stream
--   $3 through bigint position, inclusive
--   $4 recorded_at timestamp with time zone inclusive; NULL for any
--   $5 occurred_at timestamp with time zone inclusive; NULL for any
-- Result: the columns of events
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey
SELECT
    event.position, event.stream_id, event.version, event.event_id, event.category, event.type,
    event.schema_version, event.data, event.metadata, event.occurred_at, event.recorded_at
FROM unnest($1::pg_catalog.uuid[], $2::integer[]) AS given (stream_id, after_version)
JOIN {schema}.events AS event ON event.stream_id = given.stream_id AND event.version > given.after_version
WHERE event.position <= $3::bigint
    AND ($4::pg_catalog.timestamptz IS NULL OR event.recorded_at <= $4::pg_catalog.timestamptz)
    AND ($5::pg_catalog.timestamptz IS NULL OR event.occurred_at <= $5::pg_catalog.timestamptz OR (
        event.version = 1 AND EXISTS (
            SELECT FROM {schema}.events AS early
            WHERE early.stream_id = given.stream_id AND early.version > 1
                AND early.position <= $3::bigint AND early.occurred_at <= $5::pg_catalog.timestamptz
        )
    ))
ORDER BY event.stream_id, event.version
