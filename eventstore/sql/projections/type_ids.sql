-- Purpose: Look up types by their names.
-- Parameters:
--   $1 names text[]
-- Result: name text; type_id bigint, NULL where there is no such type
-- Locks: none
-- Index: pg_type_typname_nsp_index
SELECT name, to_regtype(name)::oid::bigint AS type_id FROM unnest($1::text[]) AS name
