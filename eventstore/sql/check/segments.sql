-- Purpose: Find segments that do not hold what the log has in their range. The range is final, so what is appended meanwhile
--   does not matter. A segment beyond the end of the log is another finding.
-- Parameters:
--   $1 limit bigint segments
-- Result: category text, level smallint, after_position bigint, position bigint
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key, a range for each segment; events_pkey, once for each stream in it
SELECT segment.category, segment.level, segment.after_position, segment.position
FROM {schema}.log_segments AS segment
CROSS JOIN LATERAL (
    SELECT
        coalesce(pg_catalog.array_agg(touched.begun ORDER BY touched.begun) FILTER (WHERE touched.version > 1), ARRAY[]::bigint[]) AS continued,
        pg_catalog.min(touched.recorded_from) AS recorded_from, pg_catalog.max(touched.recorded_through) AS recorded_through,
        pg_catalog.min(touched.occurred_from) AS occurred_from, pg_catalog.max(touched.occurred_through) AS occurred_through
    FROM (
        SELECT
            pg_catalog.min(event.version) AS version,
            (
                SELECT first.position FROM {schema}.events AS first
                WHERE first.stream_id = event.stream_id
                ORDER BY first.version
                LIMIT 1
            ) AS begun,
            pg_catalog.min(event.recorded_at) AS recorded_from, pg_catalog.max(event.recorded_at) AS recorded_through,
            pg_catalog.min(event.occurred_at) AS occurred_from, pg_catalog.max(event.occurred_at) AS occurred_through
        FROM {schema}.events AS event
        WHERE event.position > segment.after_position AND event.position <= segment.position AND event.category = segment.category
        GROUP BY event.stream_id
    ) AS touched
) AS log
WHERE segment.position <= (SELECT pg_catalog.max(position) FROM {schema}.events)
    AND (
        -- A segment of a higher level has no list if it would be too long.
        CASE WHEN segment.continued IS NULL THEN segment.level = 0::smallint ELSE segment.continued OPERATOR(pg_catalog.<>) log.continued END
        OR segment.recorded_from IS DISTINCT FROM log.recorded_from
        OR segment.recorded_through IS DISTINCT FROM log.recorded_through
        OR segment.occurred_from IS DISTINCT FROM log.occurred_from
        OR segment.occurred_through IS DISTINCT FROM log.occurred_through
    )
ORDER BY segment.category, segment.after_position, segment.level
LIMIT $1::bigint
