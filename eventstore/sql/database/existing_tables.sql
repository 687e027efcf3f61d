-- Purpose: Return those of the names that are tables of the current schema.
-- Parameters:
--   $1 names text[]
-- Result: name text; by name
-- Locks: none
-- Index: pg_class_relname_nsp_index
SELECT c.relname::pg_catalog.text AS name
FROM pg_catalog.pg_class AS c
WHERE c.relname = ANY ($1::pg_catalog.text[])
  AND c.relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident({schema_name}))
  AND c.relkind IN ('r', 'p')
ORDER BY c.relname
