-- Purpose: Build the statements that create the indexes, constraints and statistics of a table that the table beside
--   it lacks. Their names are derived from their final names, which are taken until the swap. The keys are created
--   while the table is empty, so that a violation is found with its key; the others when the table is full.
-- Parameters:
--   $1 live text the name of the table, quoted
--   $2 beside text the name of the other, quoted
--   $3 keys_only boolean only its primary key and other unique rules
-- Result: statement text, in the order in which they are to run
-- Locks: none
-- Index: those of the system tables
WITH indexes AS (
    SELECT
        index.oid, index.relname AS name, each.indisunique, index.reloptions, keys.oid AS key, namespace.nspname AS schema,
        'rebuild_' || pg_catalog.md5($2::pg_catalog.text || index.relname::pg_catalog.text) AS made,
        pg_catalog.format(
            'SET LOCAL default_tablespace = %L; ', coalesce(space.spcname::pg_catalog.text, '')
        ) AS in_tablespace,
        defined.body
    FROM pg_catalog.pg_index AS each
    JOIN pg_catalog.pg_class AS live ON live.oid = each.indrelid
    JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = live.relnamespace
    JOIN pg_catalog.pg_class AS index ON index.oid = each.indexrelid
    LEFT JOIN pg_catalog.pg_tablespace AS space ON space.oid = index.reltablespace
    LEFT JOIN pg_catalog.pg_constraint AS keys ON keys.conindid = each.indexrelid AND keys.contype IN ('p', 'u', 'x')
    -- The definition from its access method on, as the server quotes it: a search for ' USING ' could find it in the
    -- name of an index.
    CROSS JOIN LATERAL (
        SELECT pg_catalog.format(
            'CREATE %sINDEX %I ON %I.%I USING ', CASE WHEN each.indisunique THEN 'UNIQUE ' END, index.relname,
            namespace.nspname, live.relname
        ) AS head
    ) AS before
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN pg_catalog.starts_with(pg_catalog.pg_get_indexdef(each.indexrelid), before.head)
            THEN pg_catalog.substr(pg_catalog.pg_get_indexdef(each.indexrelid), pg_catalog.length(before.head) + 1)
        END AS body
    ) AS defined
    WHERE each.indrelid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
        AND (each.indisunique OR each.indisexclusion OR NOT $3::boolean)
),
missing AS (
    SELECT * FROM indexes
    WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_index AS other
        JOIN pg_catalog.pg_class AS there ON there.oid = other.indexrelid
        WHERE other.indrelid = $2::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
            AND there.relname = indexes.made::pg_catalog.name
    )
),
statements (name, step, statement) AS (
    SELECT name, 1, in_tablespace || CASE
        WHEN key IS NOT NULL
        THEN pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::pg_catalog.text, made, pg_catalog.pg_get_constraintdef(key))
        ELSE pg_catalog.format(
            'CREATE %sINDEX %I ON %s USING %s', CASE WHEN indisunique THEN 'UNIQUE ' END, made, $2::pg_catalog.text, body
        )
    END
    FROM missing
    UNION ALL
    -- The definition of a constraint leaves out the settings of its index.
    SELECT name, 2, pg_catalog.format('ALTER INDEX %I.%I SET (%s)', schema, made, (
        SELECT pg_catalog.string_agg(
            pg_catalog.format(
                '%I = %L', pg_catalog.split_part(option, '=', 1), pg_catalog.substr(option, pg_catalog.strpos(option, '=') + 1)
            ), ', '
        )
        FROM pg_catalog.unnest(reloptions) AS option
    ))
    FROM missing WHERE key IS NOT NULL AND reloptions IS NOT NULL
    UNION ALL
    SELECT missing.name, 3, pg_catalog.format(
        'ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s', missing.schema, missing.made, part.attnum, part.attstattarget
    )
    FROM missing JOIN pg_catalog.pg_attribute AS part ON part.attrelid = missing.oid AND part.attstattarget >= 0
    UNION ALL
    SELECT one.stxname, 4, pg_catalog.format(
        'CREATE STATISTICS %I.%I%s ON %s FROM %s', namespace.nspname, made.name, ' (' || kinds.names || ')',
        pg_catalog.pg_get_statisticsobjdef_columns(one.oid), $2::pg_catalog.text
    )
    FROM pg_catalog.pg_statistic_ext AS one
    JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = one.stxnamespace
    CROSS JOIN LATERAL (
        SELECT 'rebuild_' || pg_catalog.md5(
            $2::pg_catalog.text || pg_catalog.format('%I.%I', namespace.nspname, one.stxname)
        ) AS name
    ) AS made
    CROSS JOIN LATERAL (
        SELECT pg_catalog.string_agg(kind.name, ', ') AS names
        FROM (VALUES ('d', 'ndistinct'), ('f', 'dependencies'), ('m', 'mcv')) AS kind (letter, name)
        WHERE kind.letter::pg_catalog."char" = ANY (one.stxkind)
    ) AS kinds
    WHERE one.stxrelid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid AND NOT $3::boolean
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_statistic_ext AS other
            WHERE other.stxrelid = $2::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
                AND other.stxname = made.name::pg_catalog.name
        )
)
SELECT statement FROM statements ORDER BY name, step, statement
