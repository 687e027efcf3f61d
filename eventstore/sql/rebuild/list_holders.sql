-- Purpose: Tell which other transaction has used a table and been open the longest.
-- Parameters:
--   $1 live text the name of the table, quoted
-- Result: pid integer, age_s double precision; no row where there is none
-- Locks: none
-- Index: none
SELECT activity.pid, extract(epoch FROM clock_timestamp() - activity.xact_start)::double precision AS age_s
FROM pg_locks AS held
JOIN pg_stat_activity AS activity ON activity.pid = held.pid
WHERE held.locktype = 'relation'
    AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND held.relation = $1::text::regclass
    AND held.granted
    AND held.pid <> pg_backend_pid()
ORDER BY activity.xact_start
LIMIT 1
