-- Purpose: Write the statements that put a table in the place of another: its rights, its name, and the names of its
--   indexes and of the constraints that rest on them.
-- Parameters:
--   $1 live text the name of the table that goes, quoted
--   $2 beside text the name of the one that takes its place, quoted
-- Result: statement text, in the order in which they are to run
-- Locks: none
-- Index: those of the system tables
WITH live AS (
    SELECT oid, relowner, relacl FROM pg_class WHERE oid = $1::text::regclass
),
beside AS (
    SELECT oid, relowner, relacl FROM pg_class WHERE oid = $2::text::regclass
),
granted AS (
    SELECT acl.*, NULL::name AS attname FROM live CROSS JOIN LATERAL aclexplode(live.relacl) AS acl
    UNION ALL
    SELECT acl.*, part.attname
    FROM live
    JOIN pg_attribute AS part ON part.attrelid = live.oid AND part.attnum > 0 AND NOT part.attisdropped
    CROSS JOIN LATERAL aclexplode(part.attacl) AS acl
),
statements (step, detail, statement) AS (
    SELECT DISTINCT 1, acl.grantee::text, format('REVOKE ALL ON %s FROM %s', $2::text,
        CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
    FROM beside CROSS JOIN LATERAL aclexplode(beside.relacl) AS acl
    WHERE acl.grantee <> beside.relowner
    UNION ALL
    SELECT 2, privilege_type || attname, format('GRANT %s%s ON %s TO %s%s', privilege_type,
        ' (' || quote_ident(attname) || ')', $2::text,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)
    FROM granted WHERE grantee <> (SELECT relowner FROM live)
    UNION ALL
    SELECT 3, NULL, format('DROP TABLE %s', $1::text)
    UNION ALL
    SELECT 4, NULL, format('ALTER TABLE %s RENAME TO %s', $2::text, $1::text)
    UNION ALL
    SELECT 5, index.relname, format('ALTER INDEX %I RENAME TO %I',
        'rebuild_' || md5($2::text || index.relname), index.relname)
    FROM live
    JOIN pg_index AS each ON each.indrelid = live.oid
    JOIN pg_class AS index ON index.oid = each.indexrelid
)
SELECT statement FROM statements ORDER BY step, detail
