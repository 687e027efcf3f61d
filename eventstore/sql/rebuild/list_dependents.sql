-- Purpose: List what hangs on a table itself and would not go over to another in its place; publications are listed by
--   list_publications.
-- Parameters:
--   $1 live text the name of the table, quoted
-- Result: kind text, name text
-- Locks: none
-- Index: those of the system tables
SELECT DISTINCT 'view' AS kind, pg_catalog.format('%s', rule.ev_class::pg_catalog.regclass) AS name
FROM pg_catalog.pg_depend AS needs
JOIN pg_catalog.pg_rewrite AS rule ON rule.oid = needs.objid AND needs.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid
WHERE needs.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AND needs.refobjid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
UNION ALL
SELECT 'foreign key', pg_catalog.format('%s of %s', conname, conrelid::pg_catalog.regclass) FROM pg_catalog.pg_constraint
WHERE contype = 'f' AND (confrelid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid OR conrelid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid)
UNION ALL
SELECT 'trigger', tgname::pg_catalog.text FROM pg_catalog.pg_trigger WHERE tgrelid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid AND NOT tgisinternal
UNION ALL
SELECT 'policy', polname::pg_catalog.text FROM pg_catalog.pg_policy WHERE polrelid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
UNION ALL
SELECT 'child', pg_catalog.format('%s', inhrelid::pg_catalog.regclass) FROM pg_catalog.pg_inherits WHERE inhparent = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
UNION ALL
SELECT 'parent', pg_catalog.format('%s', inhparent::pg_catalog.regclass) FROM pg_catalog.pg_inherits WHERE inhrelid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
UNION ALL
SELECT DISTINCT 'function', pg_catalog.format('%s', needs.objid::pg_catalog.regprocedure)
FROM pg_catalog.pg_depend AS needs
WHERE needs.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
    AND needs.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
    AND needs.refobjid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
ORDER BY kind, name
