-- Purpose: Return the schema in which a session creates objects: the first existing schema of its search path.
-- Parameters: none
-- Result: schema text, NULL if no schema of the search path exists
-- Locks: none
-- Index: none
SELECT pg_catalog.current_schema()::pg_catalog.text AS schema
