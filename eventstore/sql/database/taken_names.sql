-- Purpose: Return those of the names that a relation, a type or a function of the current schema has.
-- Parameters:
--   $1 names text[]
-- Result: name text, kind text; by name
-- Locks: none
-- Index: those of the system tables
SELECT wanted.name,
       CASE
           WHEN pg_catalog.to_regclass(pg_catalog.format('%I.%I', {schema_name}, wanted.name)) IS NOT NULL THEN 'table or sequence'
           WHEN pg_catalog.to_regtype(pg_catalog.format('%I.%I', {schema_name}, wanted.name)) IS NOT NULL THEN 'type'
           ELSE 'function'
       END AS kind
FROM pg_catalog.unnest($1::pg_catalog.text[]) AS wanted (name)
WHERE pg_catalog.to_regclass(pg_catalog.format('%I.%I', {schema_name}, wanted.name)) IS NOT NULL
   OR pg_catalog.to_regtype(pg_catalog.format('%I.%I', {schema_name}, wanted.name)) IS NOT NULL
   OR EXISTS (
       SELECT
       FROM pg_catalog.pg_proc AS p
       WHERE p.proname = wanted.name
         AND p.pronamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident({schema_name}))
   )
ORDER BY wanted.name
