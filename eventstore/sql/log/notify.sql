-- Purpose: Tell the processes that listen that something was committed. It commits without waiting for the disk: it is a
--   hint.
-- Parameters:
--   $1 sender text an id of the process, so that it knows its own; the schema of the store is added, so that others do not wake
-- Result: set_config text, pg_notify void
-- Locks: the database's one of NOTIFY, for the commit
-- Index: none
SELECT pg_catalog.set_config('synchronous_commit', 'off', true), 
    pg_catalog.pg_notify('eventstore', $1::pg_catalog.text || ' ' || {schema_name})
