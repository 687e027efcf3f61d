-- Purpose: Return what may delay a projection: its worker, or the oldest open transaction with appended events.
-- Parameters:
--   $1 projection text
-- Result: moved_s_ago double precision (NULL if no worker has begun), writer_pid integer, writer_age_s double
--   precision (both NULL if there is no open writer)
-- Locks: none beyond ACCESS SHARE
-- Index: projection_checkpoints_pkey
SELECT
    (
        SELECT extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.min(moved_at))::double precision
        FROM {schema}.projection_checkpoints WHERE projection = $1::pg_catalog.text
    ) AS moved_s_ago,
    writer.pid AS writer_pid,
    writer.age_s AS writer_age_s
FROM (SELECT) AS one
LEFT JOIN LATERAL (
    SELECT activity.pid, extract(epoch FROM pg_catalog.clock_timestamp() - activity.xact_start)::double precision AS age_s
    FROM pg_catalog.pg_locks AS held
    JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = held.pid
    WHERE held.locktype = 'relation'
        AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
        AND held.relation = {regclass events}::pg_catalog.oid
        AND held.mode = 'RowExclusiveLock'
        AND held.granted
    ORDER BY activity.xact_start
    LIMIT 1
) AS writer ON true
