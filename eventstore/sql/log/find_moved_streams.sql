-- Purpose: Find the streams whose version is not the one that an import expects.
-- Parameters:
--   $1 heads uuid[] one for each stream
--   $2 expected integer[] versions, 0 for a new stream
-- Result: stream_id uuid, expected integer, actual integer
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey, read backwards once for each stream
SELECT head.stream_id, head.expected, head.actual
FROM (
    SELECT seen.stream_id, seen.expected, seen.place, coalesce((
        SELECT last.version FROM {schema}.events AS last
        WHERE last.stream_id = seen.stream_id
        ORDER BY last.version DESC
        LIMIT 1
    ), 0) AS actual
    FROM unnest((SELECT $1::pg_catalog.uuid[]), (SELECT $2::integer[])) WITH ORDINALITY AS seen (stream_id, expected, place)
) AS head
WHERE head.actual <> head.expected
ORDER BY head.place
