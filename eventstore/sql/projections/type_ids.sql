-- Purpose: Look up types by their names.
-- Parameters:
--   $1 names text[]
-- Result: name text; type_id bigint, NULL if there is no such type
-- Locks: none
-- Index: pg_type_typname_nsp_index
SELECT name, pg_catalog.to_regtype(name)::pg_catalog.oid::bigint AS type_id FROM pg_catalog.unnest($1::pg_catalog.text[]) AS name
