-- Purpose: Return the owner of a table, and whether this role may replace the table.
-- Parameters:
--   $1 live text the name of the table, quoted
-- Result: owner text; name text of this role; may_rebuild boolean; no row if there is no such table
-- Locks: none
-- Index: those of the system tables
SELECT
    pg_catalog.pg_get_userbyid(relation.relowner)::pg_catalog.text AS owner,
    current_user::pg_catalog.text AS name,
    pg_catalog.pg_has_role(current_user, relation.relowner, 'USAGE') AS may_rebuild
FROM pg_catalog.pg_class AS relation
WHERE relation.oid = pg_catalog.to_regclass($1::pg_catalog.text)::pg_catalog.oid
