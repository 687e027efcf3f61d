-- Purpose: Return when the server of a session was started, which is all that every server reveals to every role.
-- Parameters: none
-- Result: started_at timestamp with time zone, in_recovery boolean
-- Locks: none
-- Index: none
SELECT pg_catalog.pg_postmaster_start_time() AS started_at, pg_catalog.pg_is_in_recovery() AS in_recovery
