-- Purpose: Ask for an answer, and for the id of the server's process.
-- Parameters: none
-- Result: pid integer
-- Locks: none
-- Index: none
SELECT pg_catalog.pg_backend_pid() AS pid
