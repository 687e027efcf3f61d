-- Purpose: Check that the server answers, and return the id of its process.
-- Parameters: none
-- Result: pid integer
-- Locks: none
-- Index: none
SELECT pg_catalog.pg_backend_pid() AS pid
