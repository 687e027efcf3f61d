-- Purpose: Estimate the position of a time by binary search, because positions and times ascend nearly together. The
--   estimate only decides which way is faster; it never changes an answer.
-- Parameters:
--   $1 recorded_at timestamp with time zone the time, by the database's clock; NULL if $2 is given
--   $2 occurred_at timestamp with time zone the time, by the domain's clock; NULL if $1 is given
--   $3 through bigint position, inclusive
-- Result: position bigint
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key, some 60 entries at most
WITH RECURSIVE halving (low, high) AS (
    SELECT 0::bigint, $3::bigint
    UNION ALL
    SELECT
        CASE WHEN probe.is_before THEN middle ELSE low END,
        CASE WHEN probe.is_before THEN high ELSE middle - 1 END
    FROM (SELECT low, high, (low + high + 1) / 2 AS middle FROM halving WHERE low < high) AS step
    CROSS JOIN LATERAL (
        SELECT coalesce(
            (
                SELECT coalesce(event.recorded_at <= $1::pg_catalog.timestamptz, event.occurred_at <= $2::pg_catalog.timestamptz)
                FROM {schema}.events AS event
                WHERE event.position <= step.middle
                ORDER BY event.position DESC
                LIMIT 1
            ),
            true
        ) AS is_before
    ) AS probe
)
SELECT low AS position FROM halving WHERE low >= high LIMIT 1
