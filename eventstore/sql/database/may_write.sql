-- Purpose: Check whether this role may write to tables.
-- Parameters:
--   $1 tables text[] names
-- Result: may_write boolean; true if a table is missing, which another error reports
-- Locks: none beyond ACCESS SHARE
-- Index: none
SELECT coalesce(pg_catalog.bool_and(
    pg_catalog.has_table_privilege(named.oid, 'INSERT')
    AND pg_catalog.has_table_privilege(named.oid, 'UPDATE')
    AND pg_catalog.has_table_privilege(named.oid, 'DELETE')
), true) AS may_write
FROM (SELECT pg_catalog.to_regclass(pg_catalog.format('%I.%I', {schema_name}, name)) AS oid FROM pg_catalog.unnest($1::pg_catalog.text[]) AS name) AS named
