-- Purpose: Write the statements that make an empty table like another, with its primary key and whatever else keeps rows
--   from being alike, so that what breaks such a rule is found with its key; the other indexes are made once the table is full.
--   It has the same owner and storage parameters.
-- Parameters:
--   $1 live text the name of the table, quoted
--   $2 beside text the name of the new one, quoted
--   $3 is_unlogged boolean whether it is UNLOGGED: no publication has it, and a crash of the server empties it
-- Result: statement text, in the order in which they are to run
-- Locks: none
-- Index: those of the system tables
WITH live AS (
    SELECT
        relation.oid, relation.reloptions, relation.relowner, relation.relname AS name, namespace.nspname AS schema
    FROM pg_catalog.pg_class AS relation
    JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = relation.relnamespace
    WHERE relation.oid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
),
statements (step, statement) AS (
    SELECT 1, pg_catalog.format(
        'CREATE %sTABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES)',
        CASE WHEN $3::boolean THEN 'UNLOGGED ' END, $2::pg_catalog.text, $1::pg_catalog.text
    )
    UNION ALL
    SELECT 2, pg_catalog.format('ALTER TABLE %s SET (%s)', $2::pg_catalog.text, pg_catalog.array_to_string(reloptions, ', '))
    FROM live WHERE reloptions IS NOT NULL
    UNION ALL
    SELECT 3, CASE
        WHEN keys.oid IS NOT NULL THEN
            pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::pg_catalog.text, made.name, pg_catalog.pg_get_constraintdef(keys.oid))
        ELSE
            pg_catalog.format(
                'CREATE UNIQUE INDEX %I ON %s USING %s', made.name, $2::pg_catalog.text, defined.body
            )
        END
    FROM live
    JOIN pg_catalog.pg_index AS each ON each.indrelid = live.oid
    JOIN pg_catalog.pg_class AS index ON index.oid = each.indexrelid
    CROSS JOIN LATERAL (SELECT 'rebuild_' || pg_catalog.md5($2::pg_catalog.text || index.relname::pg_catalog.text) AS name) AS made
    -- As in index_statements: no text is searched for ' USING '.
    CROSS JOIN LATERAL (
        SELECT pg_catalog.format(
            'CREATE UNIQUE INDEX %I ON %I.%I USING ', index.relname, live.schema, live.name
        ) AS head
    ) AS before
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN pg_catalog.starts_with(pg_catalog.pg_get_indexdef(each.indexrelid), before.head)
            THEN pg_catalog.substr(pg_catalog.pg_get_indexdef(each.indexrelid), pg_catalog.length(before.head) + 1)
        END AS body
    ) AS defined
    LEFT JOIN pg_catalog.pg_constraint AS keys ON keys.conindid = each.indexrelid AND keys.contype IN ('p', 'u', 'x')
    WHERE each.indisunique OR each.indisexclusion
    UNION ALL
    SELECT 4, pg_catalog.format('ALTER TABLE %s OWNER TO %I', $2::pg_catalog.text, pg_catalog.pg_get_userbyid(relowner))
    FROM live WHERE pg_catalog.pg_get_userbyid(relowner) <> current_user
)
SELECT statement FROM statements ORDER BY step
