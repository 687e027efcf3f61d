-- Purpose: Return the roles that the cluster does not have.
-- Parameters:
--   $1 roles text[]
-- Result: name text; by name
-- Locks: none
-- Index: pg_authid_rolname_index
SELECT wanted.name
FROM pg_catalog.unnest($1::pg_catalog.text[]) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = wanted.name)
ORDER BY wanted.name
