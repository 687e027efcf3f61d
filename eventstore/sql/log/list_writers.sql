-- Purpose: List the transactions that may own a position not yet visible: every writer takes this lock before it
--   draws a position. Run it after the read that found the gap, never before and never in the same statement.
-- Parameters: none
-- Result: in_recovery boolean, started_at timestamp with time zone of the server, is_ordered boolean (whether positions ascend,
--   and are drawn here alone, see the preconditions `sequence of positions` and `no subscription`), writers text[] virtual
--   transaction ids (of prepared transactions too)
-- Locks: none beyond ACCESS SHARE
-- Index: those of the system tables
SELECT
    pg_catalog.pg_is_in_recovery() AS in_recovery,
    pg_catalog.pg_postmaster_start_time() AS started_at,
    {is_ordered} AS is_ordered,
    ARRAY(
        SELECT DISTINCT held.virtualtransaction
        FROM pg_catalog.pg_locks AS held
        WHERE held.locktype = 'relation'
            AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
            AND held.relation = {regclass events}::pg_catalog.oid
            AND held.mode = 'RowExclusiveLock'
            AND held.granted
    ) AS writers
