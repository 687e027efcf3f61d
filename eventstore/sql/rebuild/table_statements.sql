-- Purpose: Build the statements that create an empty table like another one; index_statements builds those for keys
--   and indexes. It has the same owner, access method, tablespace and storage parameters. Its comment says that a
--   rebuild created it.
-- Parameters:
--   $1 live text the name of the table, quoted
--   $2 beside text the name of the new one, quoted
--   $3 is_unlogged boolean whether it is UNLOGGED: no publication includes it, and a crash of the server empties it
--   $4 mark text its comment
-- Result: statement text, in the order in which they are to run
-- Locks: none
-- Index: those of the system tables
WITH live AS (
    SELECT
        relation.relowner, access.amname,
        pg_catalog.format(
            'SET LOCAL default_tablespace = %L; ', coalesce(space.spcname::pg_catalog.text, '')
        ) AS in_tablespace,
        ARRAY(
            SELECT pg_catalog.format('%s%I = %L', given.prefix, parameter.name, parameter.value)
            FROM (VALUES ('', relation.reloptions), ('toast.', toast.reloptions)) AS given (prefix, options)
            CROSS JOIN LATERAL pg_catalog.unnest(given.options) AS option
            CROSS JOIN LATERAL (
                SELECT
                    pg_catalog.split_part(option, '=', 1) AS name,
                    pg_catalog.substr(option, pg_catalog.strpos(option, '=') + 1) AS value
            ) AS parameter
        ) AS parameters
    FROM pg_catalog.pg_class AS relation
    LEFT JOIN pg_catalog.pg_class AS toast ON toast.oid = relation.reltoastrelid
    LEFT JOIN pg_catalog.pg_am AS access ON access.oid = relation.relam
    LEFT JOIN pg_catalog.pg_tablespace AS space ON space.oid = relation.reltablespace
    WHERE relation.oid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid
),
statements (step, statement) AS (
    -- The statistics are created with the indexes, under names that can be found again.
    SELECT 1, in_tablespace || pg_catalog.format(
        'CREATE %sTABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS)%s',
        CASE WHEN $3::boolean THEN 'UNLOGGED ' END, $2::pg_catalog.text, $1::pg_catalog.text,
        ' USING ' || pg_catalog.quote_ident(amname)
    )
    FROM live
    UNION ALL
    SELECT 2, pg_catalog.format('COMMENT ON TABLE %s IS %L', $2::pg_catalog.text, $4::pg_catalog.text)
    UNION ALL
    SELECT 3, pg_catalog.format(
        'ALTER TABLE %s SET (%s)', $2::pg_catalog.text, pg_catalog.array_to_string(parameters, ', ')
    )
    FROM live WHERE pg_catalog.cardinality(parameters) > 0
    UNION ALL
    SELECT 4, pg_catalog.format('ALTER TABLE %s OWNER TO %I', $2::pg_catalog.text, pg_catalog.pg_get_userbyid(relowner))
    FROM live WHERE pg_catalog.pg_get_userbyid(relowner) <> current_user
)
SELECT statement FROM statements ORDER BY step
