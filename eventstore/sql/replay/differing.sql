-- Purpose: Choose the position from which a point in time is read with the fewest events, and find the streams that
--   differ there. The base is the read table without rows that were folded after that position. A stream differs if it has
--   an event up to it outside the point in time, one after it inside, or if it began before it and has later events. The
--   first two kinds are looked for in the segments whose times allow them. For the third, the few long segments are found
--   that together cover what follows the base: they know the streams that began before them and have an event in them.
-- Parameters:
--   $1 category text
--   $2 through bigint position, inclusive
--   $3 recorded_at timestamp with time zone inclusive; NULL for any
--   $4 occurred_at timestamp with time zone inclusive; NULL for any
--   $5 folded bigint position up to which everything is in the read table; at most $6
--   $6 final bigint position up to which events are looked at
--   $7 guess bigint position, about where the point in time lies; it affects the cost alone
-- Result: base bigint position, stream_id uuid; one row with a NULL
-- Locks: none beyond ACCESS SHARE
-- Index: log_segments_pkey, events_position_key, events_pkey
WITH RECURSIVE found AS MATERIALIZED (
    SELECT
        after_position, position, recorded_from, recorded_through, occurred_from, occurred_through,
        pg_catalog.lag(position) OVER (ORDER BY after_position) AS position_before
    FROM {schema}.log_segments
    WHERE category = $1::pg_catalog.text AND level = 0::smallint AND position <= $5::bigint
),
-- What follows a break is whole; before it nothing is known.
segments AS MATERIALIZED (
    SELECT * FROM found
    WHERE after_position >= (
        SELECT pg_catalog.max(after_position) FROM found WHERE coalesce(position_before, -1) <> after_position
    )
),
known AS MATERIALIZED (
    SELECT coalesce(pg_catalog.min(after_position), 0) AS first, coalesce(pg_catalog.max(position), 0) AS last FROM segments
),
unknown (after, through) AS (
    SELECT 0::bigint, first FROM known
    UNION ALL
    SELECT last, $5::bigint FROM known
    UNION ALL
    SELECT $5::bigint, $6::bigint
),
-- How many positions of each part may have an event outside the point in time, and how many one inside.
parts AS MATERIALIZED (
    SELECT
        after_position AS after, position AS through, true AS is_base,
        CASE
            WHEN $3::pg_catalog.timestamptz IS NOT NULL
                THEN CASE WHEN recorded_through > $3::pg_catalog.timestamptz THEN position - after_position ELSE 0 END
            WHEN $4::pg_catalog.timestamptz IS NOT NULL
                THEN CASE WHEN occurred_through > $4::pg_catalog.timestamptz THEN position - after_position ELSE 0 END
            ELSE greatest(position - greatest(after_position, $2::bigint), 0)
        END AS outside,
        CASE
            WHEN $3::pg_catalog.timestamptz IS NOT NULL
                THEN CASE WHEN recorded_from <= $3::pg_catalog.timestamptz THEN position - after_position ELSE 0 END
            WHEN $4::pg_catalog.timestamptz IS NOT NULL
                THEN CASE WHEN occurred_from <= $4::pg_catalog.timestamptz THEN position - after_position ELSE 0 END
            ELSE greatest(least(position, $2::bigint) - after_position, 0)
        END AS inside
    FROM segments
    UNION ALL
    -- Times of other parts are not known: wherever they are guessed to be, everything is looked at.
    SELECT
        after, through, through = $5::bigint AND after < through,
        greatest(through - greatest(after, $7::bigint), CASE WHEN $3::pg_catalog.timestamptz IS NULL AND $4::pg_catalog.timestamptz IS NULL THEN 0 ELSE 1 END),
        greatest(least(through, $7::bigint) - after, CASE WHEN $3::pg_catalog.timestamptz IS NULL AND $4::pg_catalog.timestamptz IS NULL THEN 0 ELSE 1 END)
    FROM unknown
    WHERE through > after
),
bases AS MATERIALIZED (
    SELECT
        through AS position, after,
        pg_catalog.sum(outside) OVER so_far + pg_catalog.sum(inside) OVER () - pg_catalog.sum(inside) OVER so_far
            + (CASE WHEN through < $5::bigint THEN ($6::bigint - known.last) / 10 ELSE $6::bigint - $5::bigint END)::numeric AS cost,
        is_base
    FROM parts CROSS JOIN known
    WINDOW so_far AS (ORDER BY through)
    UNION ALL
    SELECT 0, 0, coalesce(pg_catalog.sum(inside), 0), true FROM parts
),
base AS MATERIALIZED (
    SELECT position, after FROM bases WHERE is_base ORDER BY cost, position DESC LIMIT 1
),
scans AS MATERIALIZED (
    SELECT
        CASE WHEN $3::pg_catalog.timestamptz IS NULL AND $4::pg_catalog.timestamptz IS NULL THEN greatest(parts.after, $2::bigint) ELSE parts.after END AS after,
        parts.through,
        true AS is_before
    FROM parts JOIN base ON parts.through <= base.position
    WHERE parts.outside > 0
    UNION ALL
    SELECT
        parts.after,
        CASE WHEN $3::pg_catalog.timestamptz IS NULL AND $4::pg_catalog.timestamptz IS NULL THEN least(parts.through, $2::bigint) ELSE parts.through END,
        false
    FROM parts JOIN base ON parts.after >= base.position
    WHERE parts.inside > 0
),
-- The longest segment that begins where the one before ends, and so on.
following (position, after, level) AS (
    SELECT position, NULL::bigint, NULL::smallint FROM base WHERE position > 0
    UNION ALL
    SELECT next.position, following.position, next.level
    FROM following CROSS JOIN LATERAL (
        SELECT position, level FROM {schema}.log_segments
        WHERE category = $1::pg_catalog.text AND after_position = following.position AND position <= $5::bigint
            AND continued IS NOT NULL
        ORDER BY level DESC
        LIMIT 1
    ) AS next
),
continued AS MATERIALIZED (
    SELECT DISTINCT begun.position
    FROM base CROSS JOIN following
    JOIN {schema}.log_segments AS segment
        ON segment.category = $1::pg_catalog.text AND segment.after_position = following.after AND segment.level = following.level
    CROSS JOIN LATERAL pg_catalog.unnest(segment.continued) AS begun (position)
    WHERE begun.position <= base.position
)
SELECT base.position AS base, NULL::pg_catalog.uuid AS stream_id FROM base
UNION
SELECT base.position, event.stream_id
FROM base CROSS JOIN scans
CROSS JOIN LATERAL (
    SELECT stream_id FROM {schema}.events
    WHERE position > scans.after AND position <= scans.through AND category = $1::pg_catalog.text
        AND ($3::pg_catalog.timestamptz IS NULL OR (recorded_at > $3::pg_catalog.timestamptz) = scans.is_before)
        AND ($4::pg_catalog.timestamptz IS NULL OR (occurred_at > $4::pg_catalog.timestamptz) = scans.is_before)
    OFFSET 0
) AS event
UNION
SELECT
    base.position,
    (SELECT event.stream_id FROM {schema}.events AS event WHERE event.position = continued.position)
FROM base CROSS JOIN continued
UNION
-- After the last of those segments: what began before the base.
SELECT base.position, later.stream_id
FROM base
CROSS JOIN LATERAL (
    SELECT event.stream_id FROM {schema}.events AS event
    WHERE event.position > (SELECT pg_catalog.max(position) FROM following)
        AND event.position <= $6::bigint AND event.category = $1::pg_catalog.text
    GROUP BY event.stream_id
    HAVING pg_catalog.min(event.version) > 1
    OFFSET 0
) AS later
WHERE base.position > 0
    AND (
        SELECT event.position FROM {schema}.events AS event
        WHERE event.stream_id = later.stream_id
        ORDER BY event.version
        LIMIT 1
    ) <= base.position
