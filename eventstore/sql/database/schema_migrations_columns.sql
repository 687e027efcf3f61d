-- Purpose: Check whether schema_migrations exists in the current schema, and whether it belongs to this library.
-- Parameters: none
-- Result: columns text[] in order; NULL if there is no such table
-- Locks: none
-- Index: those of the system tables
SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY a.attnum) AS columns
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = pg_catalog.to_regclass(pg_catalog.format('%I.schema_migrations', {schema_name}))::pg_catalog.oid
  AND a.attnum > 0
  AND NOT a.attisdropped
