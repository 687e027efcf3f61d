-- Purpose: Write the statements that lock tables against everyone and that find a row in one of them.
--   LOCK TABLE needs rights that not even the owner of an append-only table has; naming its owner anew takes
--   the same lock and changes nothing.
-- Parameters:
--   $1 tables text[]
-- Result: name text, lock_statement text, row_statement text (one boolean); of the tables that exist
-- Locks: none
-- Index: those of the system tables
SELECT c.relname::text AS name,
       format('ALTER TABLE %I.%I OWNER TO %I', current_schema(), c.relname, pg_get_userbyid(c.relowner))
           AS lock_statement,
       format('SELECT EXISTS (SELECT FROM %I.%I)', current_schema(), c.relname) AS row_statement
FROM pg_class AS c
WHERE c.relname = ANY ($1::text[])
  AND c.relnamespace = to_regnamespace(quote_ident(current_schema()))
ORDER BY c.relname
