-- Purpose: Return the oldest other transaction that has used a table.
-- Parameters:
--   $1 live text the name of the table, quoted
-- Result: pid integer, age_s double precision; no row if there is none
-- Locks: none
-- Index: none
SELECT activity.pid, extract(epoch FROM pg_catalog.clock_timestamp() - activity.xact_start)::double precision AS age_s
FROM pg_catalog.pg_locks AS held
JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = held.pid
WHERE held.locktype = 'relation'
    AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    AND held.relation = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
    AND held.granted
    AND held.pid <> pg_catalog.pg_backend_pid()
ORDER BY activity.xact_start
LIMIT 1
