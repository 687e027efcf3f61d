-- Purpose: List the gaps in the positions that no projection has passed yet, in order.
-- Parameters:
--   $1 window bigint the number of events that are searched
--   $2 limit bigint gaps
-- Result: first bigint and last bigint position of the gap, age_s double precision seconds since the event after it was recorded
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
WITH folded AS (
    SELECT coalesce(pg_catalog.min(position), 0) AS position FROM {schema}.projection_checkpoints
),
ahead AS (
    SELECT
        position, recorded_at,
        pg_catalog.lag(position, 1, (SELECT position FROM folded)) OVER (ORDER BY position) AS previous
    FROM (
        SELECT position, recorded_at FROM {schema}.events
        WHERE position > (SELECT position FROM folded) AND position <= {positions_max}
        ORDER BY position
        LIMIT $1::bigint
    ) AS next
)
SELECT
    previous + 1 AS first, position - 1 AS last,
    greatest(0, extract(epoch FROM pg_catalog.clock_timestamp() - recorded_at))::double precision AS age_s
FROM ahead
WHERE position > previous + 1
ORDER BY position
LIMIT $2::bigint
