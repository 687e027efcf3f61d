-- Purpose: Store the segments of a category that follow the last one. A stream is ongoing at the end of a segment if it
--   has a later event, or if its entity may still change: an active order, an open position, a portfolio.
-- Parameters:
--   $1 category text
--   $2 through bigint position; everything up to it is final
--   $3 positions bigint the least length of a segment; it is twice the number of ongoing streams if that is more
--   $4 segments_max bigint the most segments that one call stores
-- Result: position bigint the end of the last segment, 0 if there is none; length_min bigint positions that the next one has
--   at least; synchronous_commit text "off": nothing waits for the disk, since what is lost is made again
-- Locks: none beyond the rows'
-- Index: log_segments_pkey, events_position_key, events_pkey, orders_pkey, positions_pkey, portfolios_pkey
WITH last AS MATERIALIZED (
    SELECT position, ongoing FROM {schema}.log_segments
    WHERE category = $1::pg_catalog.text
    ORDER BY after_position DESC
    LIMIT 1
),
bounds AS MATERIALIZED (
    SELECT
        coalesce(pg_catalog.max(position), 0) AS after,
        greatest($3::bigint, 2 * coalesce(pg_catalog.max(pg_catalog.cardinality(ongoing)), 0)) AS length
    FROM last
),
before AS MATERIALIZED (
    SELECT pg_catalog.unnest(ongoing) AS stream_id FROM last
),
grid AS MATERIALIZED (
    SELECT number, after + (number - 1) * length AS after, after + number * length AS through
    FROM bounds CROSS JOIN LATERAL pg_catalog.generate_series(1, least(($2::bigint - after) / length, $4::bigint)) AS number
),
touched AS MATERIALIZED (
    SELECT
        event.number, event.stream_id, pg_catalog.min(event.version) AS version,
        pg_catalog.min(event.position) AS first, pg_catalog.max(event.position) AS last,
        pg_catalog.min(event.recorded_at) AS recorded_from, pg_catalog.max(event.recorded_at) AS recorded_through,
        pg_catalog.min(event.occurred_at) AS occurred_from, pg_catalog.max(event.occurred_at) AS occurred_through
    FROM (
        SELECT grid.number, event.*
        FROM grid CROSS JOIN LATERAL (
            SELECT stream_id, version, position, recorded_at, occurred_at FROM {schema}.events
            WHERE position > grid.after AND position <= grid.through AND category = $1::pg_catalog.text
            OFFSET 0
        ) AS event
    ) AS event
    GROUP BY event.number, event.stream_id
),
-- A first position of 0 means that the stream began before these segments.
streams AS MATERIALIZED (
    SELECT
        stream_id, CASE WHEN pg_catalog.min(version) = 1 THEN pg_catalog.min(first) ELSE 0 END AS first,
        pg_catalog.max(last) AS last
    FROM touched
    GROUP BY stream_id
    UNION ALL
    SELECT before.stream_id, 0, 0 FROM before
    WHERE EXISTS (SELECT FROM grid)
        -- A join, here and below: the planner cannot estimate these, and the list of an IN that it takes for too large to be
        -- hashed is searched from its beginning for each stream.
        AND NOT EXISTS (SELECT FROM touched WHERE touched.stream_id = before.stream_id)
),
-- Where all later events lie close by, they are read at once; otherwise the last event of each stream is looked up.
beyond AS MATERIALIZED (
    SELECT
        coalesce((SELECT pg_catalog.max(through) FROM grid), after) AS through,
        $2::bigint - coalesce((SELECT pg_catalog.max(through) FROM grid), after) < length AS is_short
    FROM bounds
),
later AS MATERIALIZED (
    SELECT event.stream_id
    FROM beyond CROSS JOIN LATERAL (
        SELECT stream_id FROM {schema}.events
        WHERE position > beyond.through AND position <= $2::bigint AND category = $1::pg_catalog.text
        OFFSET 0
    ) AS event
    WHERE beyond.is_short AND EXISTS (SELECT FROM grid)
),
lives AS MATERIALIZED (
    SELECT
        streams.stream_id, streams.first,
        CASE
            WHEN later.stream_id IS NOT NULL THEN 9223372036854775807
            -- Each entity is looked up: a scan of the active ones meets the remains of those that were active.
            WHEN CASE $1::pg_catalog.text
                WHEN 'order' THEN (
                    SELECT status::pg_catalog.text IN ('PENDING', 'SUBMITTED', 'PARTIALLY_FILLED', 'PENDING_CANCEL', 'PENDING_REPLACE')
                    FROM {schema}.orders WHERE id = streams.stream_id
                )
                WHEN 'position' THEN (SELECT closed_at IS NULL FROM {schema}.positions WHERE id = streams.stream_id)
                WHEN 'portfolio' THEN (SELECT true FROM {schema}.portfolios WHERE id = streams.stream_id)
            END THEN 9223372036854775807
            WHEN beyond.is_short THEN streams.last
            ELSE (
                SELECT event.position FROM {schema}.events AS event
                WHERE event.stream_id = streams.stream_id
                ORDER BY event.version DESC
                LIMIT 1
            )
        END AS last
    FROM streams CROSS JOIN beyond
    LEFT JOIN (SELECT DISTINCT stream_id FROM later) AS later ON later.stream_id = streams.stream_id
),
made AS (
    INSERT INTO {schema}.log_segments (
        category, after_position, position, recorded_from, recorded_through, occurred_from, occurred_through, ongoing, resumed
    )
    SELECT
        $1::pg_catalog.text, grid.after, grid.through, times.recorded_from, times.recorded_through, times.occurred_from,
        times.occurred_through,
        ARRAY(SELECT stream_id FROM lives WHERE lives.first <= grid.through AND lives.last > grid.through),
        -- What resumes in a later segment of these is ongoing until then.
        ARRAY(
            SELECT stream_id FROM lives
            WHERE grid.number = 1 AND lives.first = 0
                AND NOT EXISTS (SELECT FROM before WHERE before.stream_id = lives.stream_id)
        )
    FROM grid
    LEFT JOIN (
        SELECT
            number, pg_catalog.min(recorded_from) AS recorded_from, pg_catalog.max(recorded_through) AS recorded_through,
            pg_catalog.min(occurred_from) AS occurred_from, pg_catalog.max(occurred_through) AS occurred_through
        FROM touched
        GROUP BY number
    ) AS times USING (number)
    RETURNING position, pg_catalog.cardinality(ongoing) AS ongoing
)
SELECT
    coalesce((SELECT pg_catalog.max(position) FROM made), bounds.after) AS position,
    coalesce(2::bigint * (SELECT ongoing FROM made ORDER BY position DESC LIMIT 1), bounds.length) AS length_min,
    pg_catalog.set_config('synchronous_commit', 'off', true) AS synchronous_commit
FROM bounds
