-- Purpose: Tell the processes that listen that something was committed. It commits without waiting for the disk: it is a
--   hint.
-- Parameters:
--   $1 sender text an id of the process, so that it knows its own
-- Result: set_config text, pg_notify void
-- Locks: the database's one of NOTIFY, for the commit
-- Index: none
SELECT pg_catalog.set_config('synchronous_commit', 'off', true), pg_catalog.pg_notify('eventstore', $1::pg_catalog.text)
