-- Purpose: Return what readers of the log may wait for: the first gap that no reader has passed, and the open
--   writers.
-- Parameters:
--   $1 window bigint the number of positions that are searched for a gap
-- Result: head bigint position, gap_age_s double precision seconds since the event after the gap was recorded (NULL: no
--   gap), writers bigint transactions with appended events that are open, writer_pid integer and writer_age_s double
--   precision of the oldest of them (NULL: none)
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
WITH folded AS (
    SELECT pg_catalog.max(position) AS position FROM {schema}.projection_checkpoints
),
ahead AS (
    SELECT position, recorded_at, position - pg_catalog.row_number() OVER (ORDER BY position) AS shift
    FROM (
        SELECT position, recorded_at FROM {schema}.events
        WHERE position > (SELECT position FROM folded) AND position <= {positions_max}
        ORDER BY position
        LIMIT $1::bigint
    ) AS next
),
writing AS (
    SELECT DISTINCT activity.pid, activity.xact_start
    FROM pg_catalog.pg_locks AS held
    JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = held.pid
    WHERE held.locktype = 'relation'
        AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
        AND held.relation = {regclass events}::pg_catalog.oid
        AND held.mode = 'RowExclusiveLock'
        AND held.granted
)
SELECT
    coalesce((SELECT pg_catalog.max(position) FROM {schema}.events WHERE position <= {positions_max}), 0) AS head,
    (
        SELECT greatest(0, extract(epoch FROM pg_catalog.clock_timestamp() - recorded_at))::double precision FROM ahead
        WHERE shift > (SELECT position FROM folded)
        ORDER BY position
        LIMIT 1
    ) AS gap_age_s,
    (SELECT pg_catalog.count(*) FROM writing) AS writers,
    oldest.pid AS writer_pid,
    extract(epoch FROM pg_catalog.clock_timestamp() - oldest.xact_start)::double precision AS writer_age_s
FROM (SELECT) AS one
LEFT JOIN LATERAL (SELECT pid, xact_start FROM writing ORDER BY xact_start LIMIT 1) AS oldest ON true
