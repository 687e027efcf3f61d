-- Purpose: Return the range of positions in which the states of streams at a version held, and their last times.
-- Parameters:
--   $1 stream_ids uuid[]
--   $2 versions integer[] one for each stream
-- Result: stream_id uuid, since bigint, until bigint (NULL if they still hold), recorded_through timestamptz,
--   occurred_through timestamptz
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey
SELECT
    given.stream_id,
    (
        SELECT position FROM {schema}.events AS event
        WHERE event.stream_id = given.stream_id AND event.version = given.version
    ) AS since,
    (
        SELECT position FROM {schema}.events AS event
        WHERE event.stream_id = given.stream_id AND event.version = given.version + 1
    ) AS until,
    (
        SELECT pg_catalog.max(recorded_at) FROM {schema}.events AS event
        WHERE event.stream_id = given.stream_id AND event.version <= given.version
    ) AS recorded_through,
    (
        SELECT pg_catalog.max(occurred_at) FROM {schema}.events AS event
        WHERE event.stream_id = given.stream_id AND event.version <= given.version
    ) AS occurred_through
FROM unnest($1::pg_catalog.uuid[], $2::integer[]) AS given (stream_id, version)
