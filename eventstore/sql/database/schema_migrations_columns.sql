-- Purpose: Tell whether schema_migrations exists in the current schema, and whether it is ours.
-- Parameters: none
-- Result: columns text[] in order; NULL where there is no such table
-- Locks: none
-- Index: those of the system tables
SELECT array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_attribute AS a
WHERE a.attrelid = to_regclass(format('%I.schema_migrations', current_schema()))
  AND a.attnum > 0
  AND NOT a.attisdropped
