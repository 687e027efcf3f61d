-- Purpose: Find the first of some events that does not follow the previous event of its stream, by version and
--   position. If all events pass, the versions of each stream are 1, 2, 3 ... in the order of positions.
-- Parameters:
--   $1 stream_ids uuid[] one for each event
--   $2 versions integer[]
--   $3 positions bigint[]
-- Result: stream_id uuid, version integer, position bigint; no row if all follow
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey, once for each event, however long the log is
SELECT given.stream_id, given.version, given.position
FROM unnest($1::pg_catalog.uuid[], $2::integer[], $3::bigint[]) AS given (stream_id, version, position)
LEFT JOIN LATERAL (
    SELECT event.position FROM {schema}.events AS event
    WHERE event.stream_id = given.stream_id AND event.version = given.version - 1
    LIMIT 1
) AS before ON true
WHERE given.version > 1 AND (before.position IS NULL OR before.position > given.position)
ORDER BY given.position
LIMIT 1
