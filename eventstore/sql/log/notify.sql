-- Purpose: Notify the listening processes that something was committed. The notification is only a hint, so this
--   commits without waiting for the disk.
-- Parameters:
--   $1 sender text id of the process, so that it knows its own; the schema is added, so that other stores do not wake
-- Result: set_config text, pg_notify void
-- Locks: the database's lock of NOTIFY, for the commit
-- Index: none
SELECT pg_catalog.set_config('synchronous_commit', 'off', true), 
    pg_catalog.pg_notify('eventstore', $1::pg_catalog.text || ' ' || {schema_name})
