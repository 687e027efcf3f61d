-- Purpose: Find the positions between which a time lies: the first event that occurred after it, and the last one
--   that occurred at it or before, by the domain's clock, in any order. A binary search finds a place where an event
--   after the time follows one before it. The index then finds the events that are out of order on either side. The
--   bounds are in sub-selects, in pairs, so that the planner expects few rows and not half of the table.
-- Parameters:
--   $1 at timestamp with time zone UTC
-- Result: first_after bigint, last_through bigint (positions; NULL if there is none)
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key, some 60 entries at most; events_lookup_brin
WITH RECURSIVE halving AS (
    SELECT 1::bigint AS low, coalesce((SELECT pg_catalog.max(position) FROM {schema}.events WHERE position <= {positions_max}), 0) + 1 AS high
    UNION ALL
    SELECT
        CASE WHEN probe.occurred_at <= $1::pg_catalog.timestamptz THEN probe.position + 1 ELSE halving.low END,
        CASE WHEN probe.occurred_at <= $1::pg_catalog.timestamptz THEN halving.high ELSE (halving.low + halving.high) / 2 END
    FROM halving
    LEFT JOIN LATERAL (
        SELECT position, occurred_at FROM {schema}.events
        WHERE position >= (halving.low + halving.high) / 2
        ORDER BY position
        LIMIT 1
    ) AS probe ON true
    WHERE halving.low < halving.high
),
place AS MATERIALIZED (
    -- Every position below low, back to the last probe, is at the point in time or before; the event after it is not.
    SELECT low, (SELECT pg_catalog.min(position) FROM {schema}.events WHERE position >= halving.high) AS high
    FROM halving
    WHERE low >= high
    LIMIT 1
)
SELECT
    (
        SELECT pg_catalog.min(position + 0) FROM {schema}.events
        WHERE occurred_at > (SELECT $1::pg_catalog.timestamptz) AND occurred_at <= (SELECT 'infinity'::pg_catalog.timestamptz)
            AND position + 0 >= (SELECT 0) AND position + 0 <= (SELECT high FROM place)
    ) AS first_after,
    (
        SELECT pg_catalog.max(position + 0) FROM {schema}.events
        WHERE occurred_at >= (SELECT '-infinity'::pg_catalog.timestamptz) AND occurred_at <= (SELECT $1::pg_catalog.timestamptz)
            AND position + 0 >= (SELECT low - 1 FROM place) AND position + 0 <= (SELECT 9223372036854775807)
    ) AS last_through
