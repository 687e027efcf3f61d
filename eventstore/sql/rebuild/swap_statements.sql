-- Purpose: Build the statements that replace a table by another one: its rights, its name, the names of its indexes,
--   of the constraints based on them, of its statistics and of the sequences of its identity columns; and the
--   properties that CREATE TABLE LIKE does not copy: sequences that its columns own, row level security, replica
--   identity, comments, the statistics settings of its columns, and the index that it is clustered by.
-- Parameters:
--   $1 live text the name of the old table, quoted
--   $2 beside text the name of the new table, quoted
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
parts AS (
    SELECT part.*
    FROM live JOIN pg_catalog.pg_attribute AS part ON part.attrelid = live.oid AND part.attnum > 0 AND NOT part.attisdropped
),
sequences AS (
    SELECT
        needs.refobjid AS of, part.attname, needs.deptype = 'i' AS is_identity, relation.relname AS name, relation.relacl,
        relation.relowner, namespace.nspname AS schema
    FROM pg_catalog.pg_depend AS needs
    JOIN pg_catalog.pg_class AS relation ON relation.oid = needs.objid AND relation.relkind = 'S'
    JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = relation.relnamespace
    JOIN pg_catalog.pg_attribute AS part ON part.attrelid = needs.refobjid AND part.attnum = needs.refobjsubid
    WHERE needs.classid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
        AND needs.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
        AND needs.deptype IN ('a', 'i')
        AND (needs.refobjid = (SELECT oid FROM live) OR needs.refobjid = (SELECT oid FROM beside))
),
identities AS (
    SELECT
        old.schema AS old_schema, old.name AS old_name, old.relacl AS old_rights, new.schema, new.name, new.relacl AS rights,
        new.relowner
    FROM sequences AS old
    JOIN sequences AS new ON new.attname = old.attname AND new.is_identity AND new.of = (SELECT oid FROM beside)
    WHERE old.is_identity AND old.of = (SELECT oid FROM live)
),
-- The objects with rights, with their present and their intended rights.
objects (words, relowner, rights, wanted, attname) AS (
    SELECT $1::pg_catalog.text, beside.relowner, beside.relacl, live.relacl, NULL::pg_catalog.name FROM beside CROSS JOIN live
    UNION ALL
    SELECT $1::pg_catalog.text, beside.relowner, NULL, parts.attacl, parts.attname FROM beside CROSS JOIN parts
    WHERE parts.attacl IS NOT NULL
    UNION ALL
    SELECT
        pg_catalog.format('SEQUENCE %I.%I', old_schema, old_name), relowner,
        coalesce(rights, pg_catalog.acldefault('s', relowner)), old_rights, NULL
    FROM identities
),
statistics AS (
    SELECT
        one.*, namespace.nspname AS schema, pg_catalog.format('%I.%I', namespace.nspname, one.stxname) AS words,
        'rebuild_' || pg_catalog.md5(
            $2::pg_catalog.text || pg_catalog.format('%I.%I', namespace.nspname, one.stxname)
        ) AS made
    FROM live
    JOIN pg_catalog.pg_statistic_ext AS one ON one.stxrelid = live.oid
    JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = one.stxnamespace
),
statements (step, detail, statement) AS (
    -- A sequence that a column owns would be dropped with the old table.
    SELECT 1, attname::pg_catalog.text, pg_catalog.format('ALTER SEQUENCE %I.%I OWNED BY %s.%I', schema, name, $2::pg_catalog.text, attname)
    FROM sequences WHERE NOT is_identity AND of = (SELECT oid FROM live)
    UNION ALL
    SELECT 2, NULL, pg_catalog.format('DROP TABLE %s', $1::pg_catalog.text)
    UNION ALL
    SELECT 3, NULL, pg_catalog.format('ALTER TABLE %s RENAME TO %I', $2::pg_catalog.text, live.name) FROM live
    UNION ALL
    SELECT 4, index.relname, pg_catalog.format('ALTER INDEX %I.%I RENAME TO %I', live.schema,
        'rebuild_' || pg_catalog.md5($2::pg_catalog.text || index.relname::pg_catalog.text), index.relname)
    FROM live
    JOIN pg_catalog.pg_index AS each ON each.indrelid = live.oid
    JOIN pg_catalog.pg_class AS index ON index.oid = each.indexrelid
    UNION ALL
    SELECT 4, old_name, pg_catalog.format('ALTER SEQUENCE %I.%I RENAME TO %I', schema, name, old_name)
    FROM identities WHERE name <> old_name
    UNION ALL
    SELECT 4, stxname, pg_catalog.format('ALTER STATISTICS %I.%I RENAME TO %I', schema, made, stxname) FROM statistics
    UNION ALL
    SELECT DISTINCT 5, acl.grantee::pg_catalog.text, pg_catalog.format('REVOKE ALL ON %s FROM %s', objects.words,
        CASE acl.grantee WHEN 0::pg_catalog.oid THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(acl.grantee)) END)
    FROM objects CROSS JOIN LATERAL pg_catalog.aclexplode(objects.rights) AS acl
    WHERE acl.grantee <> objects.relowner
    UNION ALL
    -- An owner may have revoked some of its own rights.
    SELECT 5, NULL, pg_catalog.format('REVOKE ALL ON %s FROM %I', words, pg_catalog.pg_get_userbyid(relowner))
    FROM objects WHERE wanted IS NOT NULL AND attname IS NULL
    UNION ALL
    SELECT 6, acl.privilege_type || objects.attname::pg_catalog.text, pg_catalog.format('GRANT %s%s ON %s TO %s%s', acl.privilege_type,
        ' (' || pg_catalog.quote_ident(objects.attname) || ')', objects.words,
        CASE acl.grantee WHEN 0::pg_catalog.oid THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(acl.grantee)) END,
        CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' END)
    FROM objects CROSS JOIN LATERAL pg_catalog.aclexplode(objects.wanted) AS acl
    UNION ALL
    SELECT 7, NULL, pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', $1::pg_catalog.text) FROM live WHERE relrowsecurity
    UNION ALL
    SELECT 7, NULL, pg_catalog.format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', $1::pg_catalog.text) FROM live WHERE relforcerowsecurity
    UNION ALL
    SELECT 7, NULL, pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY %s', $1::pg_catalog.text,
        CASE relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END)
    FROM live WHERE relreplident IN ('f', 'n')
    UNION ALL
    -- The new table has a comment that marks it.
    SELECT 7, NULL, pg_catalog.format('COMMENT ON TABLE %s IS %L', $1::pg_catalog.text, pg_catalog.obj_description(oid, 'pg_class'))
    FROM live
    UNION ALL
    SELECT 7, NULL, pg_catalog.format('COMMENT ON CONSTRAINT %I ON %s IS %L', each.conname, $1::pg_catalog.text,
        pg_catalog.obj_description(each.oid, 'pg_constraint'))
    FROM live JOIN pg_catalog.pg_constraint AS each ON each.conrelid = live.oid
    WHERE pg_catalog.obj_description(each.oid, 'pg_constraint') IS NOT NULL
    UNION ALL
    SELECT 7, NULL, pg_catalog.format('ALTER TABLE %s ALTER %I SET STATISTICS %s', $1::pg_catalog.text, attname, attstattarget)
    FROM parts WHERE attstattarget >= 0
    UNION ALL
    SELECT 7, NULL, pg_catalog.format('ALTER TABLE %s ALTER %I SET (%s)', $1::pg_catalog.text, attname, (
        SELECT pg_catalog.string_agg(
            pg_catalog.format(
                '%I = %L', pg_catalog.split_part(option, '=', 1), pg_catalog.substr(option, pg_catalog.strpos(option, '=') + 1)
            ), ', '
        )
        FROM pg_catalog.unnest(attoptions) AS option
    ))
    FROM parts WHERE attoptions IS NOT NULL
    UNION ALL
    SELECT 7, NULL, of_index.statement
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
    UNION ALL
    SELECT 8, words, of_statistics.statement
    FROM statistics
    CROSS JOIN LATERAL (
        SELECT pg_catalog.format('ALTER STATISTICS %s SET STATISTICS %s', words, stxstattarget) WHERE stxstattarget >= 0
        UNION ALL
        SELECT pg_catalog.format('COMMENT ON STATISTICS %s IS %L', words, pg_catalog.obj_description(oid, 'pg_statistic_ext'))
        WHERE pg_catalog.obj_description(oid, 'pg_statistic_ext') IS NOT NULL
    ) AS of_statistics (statement)
    UNION ALL
    SELECT 9, words, pg_catalog.format('ALTER STATISTICS %s OWNER TO %I', words, pg_catalog.pg_get_userbyid(stxowner))
    FROM statistics WHERE pg_catalog.pg_get_userbyid(stxowner) <> current_user
)
SELECT statement FROM statements ORDER BY step, detail
