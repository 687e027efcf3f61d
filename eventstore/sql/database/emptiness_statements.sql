-- Purpose: Write the statements that lock tables against everyone and that find a row in one of them.
-- Parameters:
--   $1 tables text[]
-- Result: name text, lock_statement text, row_statement text (one boolean); of the tables that exist
-- Locks: none
-- Index: those of the system tables
SELECT wanted.name,
       format('LOCK TABLE %I.%I IN ACCESS EXCLUSIVE MODE', current_schema(), wanted.name) AS lock_statement,
       format('SELECT EXISTS (SELECT FROM %I.%I)', current_schema(), wanted.name) AS row_statement
FROM unnest($1::text[]) AS wanted (name)
WHERE to_regclass(format('%I.%I', current_schema(), wanted.name)) IS NOT NULL
ORDER BY wanted.name
