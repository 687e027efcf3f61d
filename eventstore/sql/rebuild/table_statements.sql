-- Purpose: Write the statements that make an empty table like another, with its primary key and without its other
--   indexes, which are made once the table is full. It has the same owner and storage parameters.
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
    SELECT 3, format('ALTER TABLE %s ADD CONSTRAINT %I %s',
                     $2::text, 'rebuild_' || md5($2::text || keys.conname), pg_get_constraintdef(keys.oid))
    FROM live JOIN pg_constraint AS keys ON keys.conrelid = live.oid AND keys.contype = 'p'
    UNION ALL
    SELECT 4, format('ALTER TABLE %s OWNER TO %I', $2::text, pg_get_userbyid(relowner))
    FROM live WHERE pg_get_userbyid(relowner) <> current_user
)
SELECT statement FROM statements ORDER BY step
