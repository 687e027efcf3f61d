-- Purpose: List what hangs on a table itself and would not go over to another in its place.
-- Parameters:
--   $1 live text the name of the table, quoted
-- Result: kind text, name text
-- Locks: none
-- Index: those of the system tables
SELECT DISTINCT 'view' AS kind, format('%s', rule.ev_class::regclass) AS name
FROM pg_depend AS needs
JOIN pg_rewrite AS rule ON rule.oid = needs.objid AND needs.classid = 'pg_rewrite'::regclass
WHERE needs.refclassid = 'pg_class'::regclass AND needs.refobjid = $1::text::regclass
UNION ALL
SELECT 'foreign key', format('%s of %s', conname, conrelid::regclass) FROM pg_constraint
WHERE contype = 'f' AND (confrelid = $1::text::regclass OR conrelid = $1::text::regclass)
UNION ALL
SELECT 'trigger', tgname::text FROM pg_trigger WHERE tgrelid = $1::text::regclass AND NOT tgisinternal
UNION ALL
SELECT 'policy', polname::text FROM pg_policy WHERE polrelid = $1::text::regclass
UNION ALL
SELECT 'publication', publication.pubname::text
FROM pg_publication_rel AS part
JOIN pg_publication AS publication ON publication.oid = part.prpubid
WHERE part.prrelid = $1::text::regclass
UNION ALL
SELECT 'child', format('%s', inhrelid::regclass) FROM pg_inherits WHERE inhparent = $1::text::regclass
UNION ALL
SELECT 'parent', format('%s', inhparent::regclass) FROM pg_inherits WHERE inhrelid = $1::text::regclass
UNION ALL
SELECT DISTINCT 'function', format('%s', needs.objid::regprocedure)
FROM pg_depend AS needs
WHERE needs.classid = 'pg_proc'::regclass
    AND needs.refclassid = 'pg_class'::regclass
    AND needs.refobjid = $1::text::regclass
ORDER BY kind, name
