-- Purpose: Tell whether this role may write to tables.
-- Parameters:
--   $1 tables text[] names
-- Result: may_write boolean; true where a table is missing, which another error tells better
-- Locks: none beyond ACCESS SHARE
-- Index: none
SELECT coalesce(bool_and(
    has_table_privilege(named.oid, 'INSERT')
    AND has_table_privilege(named.oid, 'UPDATE')
    AND has_table_privilege(named.oid, 'DELETE')
), true) AS may_write
FROM (SELECT to_regclass(quote_ident(name)) AS oid FROM unnest($1::text[]) AS name) AS named
