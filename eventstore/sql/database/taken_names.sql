-- Purpose: Tell which names are taken in the current schema by a relation, a type or a function.
-- Parameters:
--   $1 names text[]
-- Result: name text, kind text; by name
-- Locks: none
-- Index: those of the system tables
SELECT wanted.name,
       CASE
           WHEN to_regclass(format('%I.%I', current_schema(), wanted.name)) IS NOT NULL THEN 'table or sequence'
           WHEN to_regtype(format('%I.%I', current_schema(), wanted.name)) IS NOT NULL THEN 'type'
           ELSE 'function'
       END AS kind
FROM unnest($1::text[]) AS wanted (name)
WHERE to_regclass(format('%I.%I', current_schema(), wanted.name)) IS NOT NULL
   OR to_regtype(format('%I.%I', current_schema(), wanted.name)) IS NOT NULL
   OR EXISTS (
       SELECT
       FROM pg_proc AS p
       WHERE p.proname = wanted.name
         AND p.pronamespace = to_regnamespace(quote_ident(current_schema()))
   )
ORDER BY wanted.name
