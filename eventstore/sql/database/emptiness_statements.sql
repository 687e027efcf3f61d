-- Purpose: Build the statements that lock tables against all access and that check them for rows. LOCK TABLE needs
--   rights that not even the owner of an append-only table has; ALTER TABLE ... OWNER TO the present owner takes the
--   same lock and changes nothing.
-- Parameters:
--   $1 tables text[]
-- Result: name text, lock_statement text, row_statement text (one boolean); of the tables that exist
-- Locks: none
-- Index: those of the system tables
SELECT c.relname::pg_catalog.text AS name,
       pg_catalog.format('ALTER TABLE %I.%I OWNER TO %I', {schema_name}, c.relname, pg_catalog.pg_get_userbyid(c.relowner))
           AS lock_statement,
       pg_catalog.format('SELECT EXISTS (SELECT FROM %I.%I)', {schema_name}, c.relname) AS row_statement
FROM pg_catalog.pg_class AS c
WHERE c.relname = ANY ($1::pg_catalog.text[])
  AND c.relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident({schema_name}))
ORDER BY c.relname
