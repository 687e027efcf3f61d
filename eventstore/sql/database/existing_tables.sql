-- Purpose: Tell which of these names are tables of the current schema.
-- Parameters:
--   $1 names text[]
-- Result: name text; by name
-- Locks: none
-- Index: pg_class_relname_nsp_index
SELECT c.relname::text AS name
FROM pg_class AS c
WHERE c.relname = ANY ($1::text[])
  AND c.relnamespace = to_regnamespace(quote_ident(current_schema()))
  AND c.relkind IN ('r', 'p')
ORDER BY c.relname
