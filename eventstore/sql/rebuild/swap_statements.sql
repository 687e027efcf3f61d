-- Purpose: Write the statements that put a table in the place of another: its rights, its name, the names of its indexes
--   and of the constraints that rest on them, and what CREATE TABLE LIKE does not take over: row level security, replica
--   identity, comments, what is set for the statistics of its columns, the index that it is clustered by.
-- Parameters:
--   $1 live text the name of the table that goes, quoted
--   $2 beside text the name of the one that takes its place, quoted
-- Result: statement text, in the order in which they are to run
-- Locks: none
-- Index: those of the system tables
WITH live AS (
    SELECT
        relation.oid, relation.relname AS name, namespace.nspname AS schema, relation.relowner, relation.relacl,
        relation.relrowsecurity, relation.relforcerowsecurity, relation.relreplident
    FROM pg_catalog.pg_class AS relation
    JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = relation.relnamespace
    WHERE relation.oid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
),
beside AS (
    SELECT oid, relowner, relacl FROM pg_catalog.pg_class WHERE oid = $2::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
),
granted AS (
    SELECT acl.*, NULL::pg_catalog.name AS attname FROM live CROSS JOIN LATERAL pg_catalog.aclexplode(live.relacl) AS acl
    UNION ALL
    SELECT acl.*, part.attname
    FROM live
    JOIN pg_catalog.pg_attribute AS part ON part.attrelid = live.oid AND part.attnum > 0 AND NOT part.attisdropped
    CROSS JOIN LATERAL pg_catalog.aclexplode(part.attacl) AS acl
),
statements (step, detail, statement) AS (
    SELECT DISTINCT 1, acl.grantee::pg_catalog.text, pg_catalog.format('REVOKE ALL ON %s FROM %s', $2::pg_catalog.text,
        CASE acl.grantee WHEN 0::pg_catalog.oid THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(acl.grantee)) END)
    FROM beside CROSS JOIN LATERAL pg_catalog.aclexplode(beside.relacl) AS acl
    WHERE acl.grantee <> beside.relowner
    UNION ALL
    SELECT 2, privilege_type || attname::pg_catalog.text, pg_catalog.format('GRANT %s%s ON %s TO %s%s', privilege_type,
        ' (' || pg_catalog.quote_ident(attname) || ')', $2::pg_catalog.text,
        CASE grantee WHEN 0::pg_catalog.oid THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(grantee)) END,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)
    FROM granted WHERE grantee <> (SELECT relowner FROM live)
    UNION ALL
    SELECT 3, NULL, pg_catalog.format('DROP TABLE %s', $1::pg_catalog.text)
    UNION ALL
    SELECT 4, NULL, pg_catalog.format('ALTER TABLE %s RENAME TO %I', $2::pg_catalog.text, live.name) FROM live
    UNION ALL
    SELECT 5, index.relname, pg_catalog.format('ALTER INDEX %I.%I RENAME TO %I', live.schema,
        'rebuild_' || pg_catalog.md5($2::pg_catalog.text || index.relname::pg_catalog.text), index.relname)
    FROM live
    JOIN pg_catalog.pg_index AS each ON each.indrelid = live.oid
    JOIN pg_catalog.pg_class AS index ON index.oid = each.indexrelid
    UNION ALL
    SELECT 6, NULL, pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', $1::pg_catalog.text) FROM live WHERE relrowsecurity
    UNION ALL
    SELECT 6, NULL, pg_catalog.format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', $1::pg_catalog.text) FROM live WHERE relforcerowsecurity
    UNION ALL
    SELECT 6, NULL, pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY %s', $1::pg_catalog.text,
        CASE relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END)
    FROM live WHERE relreplident IN ('f', 'n')
    UNION ALL
    SELECT 6, NULL, pg_catalog.format('COMMENT ON TABLE %s IS %L', $1::pg_catalog.text, pg_catalog.obj_description(oid, 'pg_class'))
    FROM live WHERE pg_catalog.obj_description(oid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 6, NULL, pg_catalog.format('ALTER TABLE %s ALTER %I SET STATISTICS %s', $1::pg_catalog.text, part.attname, part.attstattarget)
    FROM live JOIN pg_catalog.pg_attribute AS part ON part.attrelid = live.oid AND part.attnum > 0 AND NOT part.attisdropped
    WHERE part.attstattarget >= 0
    UNION ALL
    SELECT 6, NULL,
        pg_catalog.format('ALTER TABLE %s ALTER %I SET (%s)', $1::pg_catalog.text, part.attname, pg_catalog.array_to_string(part.attoptions, ', '))
    FROM live JOIN pg_catalog.pg_attribute AS part ON part.attrelid = live.oid AND part.attnum > 0 AND NOT part.attisdropped
    WHERE part.attoptions IS NOT NULL
    UNION ALL
    SELECT 6, NULL, of_index.statement
    FROM live
    JOIN pg_catalog.pg_index AS each ON each.indrelid = live.oid
    JOIN pg_catalog.pg_class AS index ON index.oid = each.indexrelid
    CROSS JOIN LATERAL (
        SELECT pg_catalog.format('COMMENT ON INDEX %I.%I IS %L', live.schema, index.relname, pg_catalog.obj_description(index.oid, 'pg_class'))
        WHERE pg_catalog.obj_description(index.oid, 'pg_class') IS NOT NULL
        UNION ALL
        SELECT pg_catalog.format('ALTER TABLE %s CLUSTER ON %I', $1::pg_catalog.text, index.relname) WHERE each.indisclustered
        UNION ALL
        SELECT pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', $1::pg_catalog.text, index.relname)
        WHERE each.indisreplident
    ) AS of_index (statement)
)
SELECT statement FROM statements ORDER BY step, detail
