-- Purpose: Store the segments of a category that follow the last one. What a segment holds follows from its events and from
--   the beginnings of their streams, and from nothing else. The first one includes the gap that it begins with, so that a gap
--   of any length is passed in one step.
-- Parameters:
--   $1 category text
--   $2 through bigint position; everything up to it is final
--   $3 positions bigint the length of a segment
--   $4 segments_max bigint the most segments that one call stores
-- Result: position bigint the end of the last segment, 0 if there is none; segments bigint how many were stored; events bigint
--   of the category in those; synchronous_commit text "off": nothing waits for the disk, since what is lost is made again
-- Locks: none beyond the rows'
-- Index: log_segments_pkey, events_position_key, events_pkey
WITH last AS MATERIALIZED (
    SELECT coalesce((
        SELECT position FROM {schema}.log_segments
        WHERE category = $1::pg_catalog.text AND level = 0::smallint
        ORDER BY after_position DESC
        LIMIT 1
    ), 0::bigint) AS position
),
first AS MATERIALIZED (
    SELECT
        last.position AS after,
        greatest(
            last.position + $3::bigint,
            coalesce(
                (
                    SELECT pg_catalog.min(event.position) - 1 FROM {schema}.events AS event
                    WHERE event.position > last.position AND event.position <= $2::bigint
                ),
                $2::bigint
            )
        ) AS through
    FROM last
    WHERE $2::bigint - last.position >= $3::bigint
),
grid AS MATERIALIZED (
    SELECT 1::bigint AS number, after, through FROM first
    UNION ALL
    SELECT number, first.through + (number - 2) * $3::bigint, first.through + (number - 1) * $3::bigint
    FROM first
    CROSS JOIN LATERAL pg_catalog.generate_series(
        2::bigint, least(($2::bigint - first.through) / $3::bigint + 1, $4::bigint)
    ) AS number
),
touched AS MATERIALIZED (
    SELECT
        event.number, event.stream_id, pg_catalog.count(*) AS events, pg_catalog.min(event.version) AS version,
        pg_catalog.min(event.recorded_at) AS recorded_from, pg_catalog.max(event.recorded_at) AS recorded_through,
        pg_catalog.min(event.occurred_at) AS occurred_from, pg_catalog.max(event.occurred_at) AS occurred_through
    FROM (
        SELECT grid.number, event.*
        FROM grid CROSS JOIN LATERAL (
            SELECT stream_id, version, recorded_at, occurred_at FROM {schema}.events
            WHERE position > grid.after AND position <= grid.through AND category = $1::pg_catalog.text
            OFFSET 0
        ) AS event
    ) AS event
    GROUP BY event.number, event.stream_id
),
-- A stream is known by the position of its first event.
begun AS MATERIALIZED (
    SELECT
        touched.number,
        (
            SELECT event.position FROM {schema}.events AS event
            WHERE event.stream_id = touched.stream_id
            ORDER BY event.version
            LIMIT 1
        ) AS position
    FROM touched
    WHERE touched.version > 1
),
made AS (
    INSERT INTO {schema}.log_segments (
        category, level, after_position, position, recorded_from, recorded_through, occurred_from, occurred_through, continued
    )
    SELECT
        $1::pg_catalog.text, 0::smallint, grid.after, grid.through, times.recorded_from, times.recorded_through,
        times.occurred_from, times.occurred_through, coalesce(continued.positions, ARRAY[]::bigint[])
    FROM grid
    LEFT JOIN (
        SELECT
            number, pg_catalog.min(recorded_from) AS recorded_from, pg_catalog.max(recorded_through) AS recorded_through,
            pg_catalog.min(occurred_from) AS occurred_from, pg_catalog.max(occurred_through) AS occurred_through
        FROM touched
        GROUP BY number
    ) AS times USING (number)
    LEFT JOIN (
        SELECT number, pg_catalog.array_agg(position ORDER BY position) AS positions
        FROM begun
        GROUP BY number
    ) AS continued USING (number)
    RETURNING position
)
SELECT
    coalesce((SELECT pg_catalog.max(position) FROM made), last.position) AS position,
    (SELECT pg_catalog.count(*) FROM made) AS segments,
    (SELECT coalesce(pg_catalog.sum(events), 0::numeric)::bigint FROM touched) AS events,
    pg_catalog.set_config('synchronous_commit', 'off', true) AS synchronous_commit
FROM last
