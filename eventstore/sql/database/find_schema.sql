-- Purpose: Tell in which schema a session makes objects: the first one of its search path that exists.
-- Parameters: none
-- Result: schema text, NULL where the search path names no schema that exists
-- Locks: none
-- Index: none
SELECT pg_catalog.current_schema()::pg_catalog.text AS schema
