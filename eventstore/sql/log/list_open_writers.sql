-- Purpose: List the sessions whose open transaction has appended events, the oldest first: who owns the gaps that readers wait at.
-- Parameters: none
-- Result: pid integer, user_name text, application text, client text, state text, age_s double precision; parts that the role may
--   not see are NULL
-- Locks: none beyond ACCESS SHARE
-- Index: none, the system views have a row for each lock and session
SELECT DISTINCT
    activity.pid, activity.usename::pg_catalog.text AS user_name, activity.application_name AS application,
    activity.client_addr::pg_catalog.text AS client, activity.state,
    extract(epoch FROM pg_catalog.clock_timestamp() - activity.xact_start)::double precision AS age_s
FROM pg_catalog.pg_locks AS held
JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = held.pid
WHERE held.locktype = 'relation'
    AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    AND held.relation = {regclass events}::pg_catalog.oid
    AND held.mode = 'RowExclusiveLock'
    AND held.granted
ORDER BY age_s DESC NULLS LAST, activity.pid
