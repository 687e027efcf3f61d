-- Purpose: Write the statements that make an empty table like another, with its primary key and whatever else keeps rows
--   from being alike, so that what breaks such a rule is found with its key; the other indexes are made once the table is full.
--   It has the same owner and storage parameters.
-- Parameters:
--   $1 live text the name of the table, quoted
--   $2 beside text the name of the new one, quoted
-- Result: statement text, in the order in which they are to run
-- Locks: none
-- Index: those of the system tables
WITH live AS (
    SELECT oid, reloptions, relowner FROM pg_class WHERE oid = $1::text::regclass
),
statements (step, statement) AS (
    SELECT 1, format('CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES)', $2::text, $1::text)
    UNION ALL
    SELECT 2, format('ALTER TABLE %s SET (%s)', $2::text, array_to_string(reloptions, ', '))
    FROM live WHERE reloptions IS NOT NULL
    UNION ALL
    SELECT 3, CASE
        WHEN keys.oid IS NOT NULL THEN
            format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::text, made.name, pg_get_constraintdef(keys.oid))
        ELSE
            format('CREATE UNIQUE INDEX %I ON %s%s', made.name, $2::text,
                   substr(pg_get_indexdef(each.indexrelid), strpos(pg_get_indexdef(each.indexrelid), ' USING ')))
        END
    FROM live
    JOIN pg_index AS each ON each.indrelid = live.oid
    JOIN pg_class AS index ON index.oid = each.indexrelid
    CROSS JOIN LATERAL (SELECT 'rebuild_' || md5($2::text || index.relname) AS name) AS made
    LEFT JOIN pg_constraint AS keys ON keys.conindid = each.indexrelid AND keys.contype IN ('p', 'u', 'x')
    WHERE each.indisunique OR each.indisexclusion
    UNION ALL
    SELECT 4, format('ALTER TABLE %s OWNER TO %I', $2::text, pg_get_userbyid(relowner))
    FROM live WHERE pg_get_userbyid(relowner) <> current_user
)
SELECT statement FROM statements ORDER BY step
