-- Purpose: Store the next segment of a level above 0, which joins consecutive segments of the level below. Nothing is stored
--   as long as there are too few of them.
-- Parameters:
--   $1 category text
--   $2 level smallint of the segment
--   $3 segments bigint that it joins
--   $4 streams_max bigint streams in those segments, each counted as often as it is in one; of more no list is stored
-- Result: position bigint the end of the last segment of the level, 0 if there is none; segments bigint how many were
--   stored; synchronous_commit text "off": nothing waits for the disk, since what is lost is made again
-- Locks: none beyond the rows'
-- Index: log_segments_pkey
WITH last AS MATERIALIZED (
    SELECT coalesce((
        SELECT position FROM {schema}.log_segments
        WHERE category = $1::pg_catalog.text AND level = $2::smallint
        ORDER BY after_position DESC
        LIMIT 1
    ), 0::bigint) AS position
),
parts AS MATERIALIZED (
    SELECT
        after_position, position, recorded_from, recorded_through, occurred_from, occurred_through, continued
    FROM {schema}.log_segments
    WHERE category = $1::pg_catalog.text AND level = $2::smallint - 1::smallint
        AND after_position >= (SELECT position FROM last)
    ORDER BY after_position
    LIMIT $3::bigint
),
whole AS MATERIALIZED (
    SELECT
        pg_catalog.min(after_position) AS after, pg_catalog.max(position) AS through,
        pg_catalog.min(recorded_from) AS recorded_from, pg_catalog.max(recorded_through) AS recorded_through,
        pg_catalog.min(occurred_from) AS occurred_from, pg_catalog.max(occurred_through) AS occurred_through,
        pg_catalog.bool_and(continued IS NOT NULL) AND pg_catalog.sum(pg_catalog.cardinality(continued)) <= $4::bigint AS has_list
    FROM parts
    HAVING pg_catalog.count(*) = $3::bigint
        -- None is missing between them.
        AND pg_catalog.sum(position - after_position) = (pg_catalog.max(position) - pg_catalog.min(after_position))::numeric
),
made AS (
    INSERT INTO {schema}.log_segments (
        category, level, after_position, position, recorded_from, recorded_through, occurred_from, occurred_through, continued
    )
    SELECT
        $1::pg_catalog.text, $2::smallint, whole.after, whole.through, whole.recorded_from, whole.recorded_through,
        whole.occurred_from, whole.occurred_through,
        CASE WHEN whole.has_list THEN ARRAY(
            SELECT DISTINCT begun.position
            FROM parts CROSS JOIN LATERAL pg_catalog.unnest(parts.continued) AS begun (position)
            WHERE begun.position <= whole.after
            ORDER BY begun.position
        ) END
    FROM whole
    RETURNING position
)
SELECT
    coalesce((SELECT pg_catalog.max(position) FROM made), last.position) AS position,
    (SELECT pg_catalog.count(*) FROM made) AS segments,
    pg_catalog.set_config('synchronous_commit', 'off', true) AS synchronous_commit
FROM last
