-- Purpose: List the dependents of a table that would not move to its replacement, or that prevent dropping it.
--   Publications are listed by list_publications.
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
UNION ALL
-- Other objects that refer to the table or its row type: columns, defaults and policies of other tables, functions
-- that take or return a row.
SELECT DISTINCT described.type, described.identity
FROM pg_catalog.pg_class AS live
JOIN pg_catalog.pg_depend AS needs
    ON needs.deptype = 'n'
    AND CASE needs.refclassid
        WHEN 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid THEN needs.refobjid = live.oid
        WHEN 'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid THEN needs.refobjid IN (
            SELECT live.reltype UNION ALL SELECT typarray FROM pg_catalog.pg_type WHERE oid = live.reltype
        )
        ELSE false
    END
CROSS JOIN LATERAL pg_catalog.pg_identify_object(needs.classid, needs.objid, needs.objsubid) AS described
WHERE live.oid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
    AND live.oid <> CASE needs.classid
        WHEN 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid
            THEN (SELECT conrelid FROM pg_catalog.pg_constraint WHERE oid = needs.objid)
        WHEN 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid
            THEN (SELECT adrelid FROM pg_catalog.pg_attrdef WHERE oid = needs.objid)
        WHEN 'pg_catalog.pg_policy'::pg_catalog.regclass::pg_catalog.oid
            THEN (SELECT polrelid FROM pg_catalog.pg_policy WHERE oid = needs.objid)
        WHEN 'pg_catalog.pg_trigger'::pg_catalog.regclass::pg_catalog.oid
            THEN (SELECT tgrelid FROM pg_catalog.pg_trigger WHERE oid = needs.objid)
        ELSE 0::pg_catalog.oid
    END
    AND NOT (
        needs.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
        AND needs.classid IN (
            'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid, 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
        )
    )
    AND needs.classid <> 'pg_catalog.pg_publication_rel'::pg_catalog.regclass::pg_catalog.oid
    AND NOT (
        needs.classid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
        AND EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhrelid = needs.objid AND inhparent = live.oid)
    )
UNION ALL
SELECT 'type', pg_catalog.format_type(reloftype, NULL) FROM pg_catalog.pg_class
WHERE oid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid AND reloftype <> 0::pg_catalog.oid
UNION ALL
SELECT 'extension', extension.extname::pg_catalog.text
FROM pg_catalog.pg_depend AS needs
JOIN pg_catalog.pg_extension AS extension ON extension.oid = needs.refobjid
WHERE needs.classid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
    AND needs.objid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
    AND needs.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass::pg_catalog.oid
UNION ALL
SELECT 'security label', provider FROM pg_catalog.pg_seclabel
WHERE classoid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
    AND objoid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
ORDER BY kind, name
