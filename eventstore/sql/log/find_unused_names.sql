-- Purpose: Return those of the given categories and types that no event has.
-- Parameters:
--   $1 categories text[]
--   $2 types text[]
-- Result: kind text (category or type), name text
-- Locks: none beyond ACCESS SHARE
-- Index: none, the log is read until an event of each name is found; to its end for a name that none has
SELECT 'category'::pg_catalog.text AS kind, asked.name
FROM pg_catalog.unnest($1::pg_catalog.text[]) AS asked (name)
WHERE NOT EXISTS (SELECT FROM {schema}.events AS event WHERE event.category = asked.name)
UNION ALL
SELECT 'type'::pg_catalog.text, asked.name
FROM pg_catalog.unnest($2::pg_catalog.text[]) AS asked (name)
WHERE NOT EXISTS (SELECT FROM {schema}.events AS event WHERE event.type = asked.name)
