-- Purpose: Write the statements that give the roles their rights, in the order in which they are to run.
--   A role that is NULL is left out. Tables are those that exist.
-- Parameters:
--   $1 writer text role, or NULL
--   $2 reader text role, or NULL
--   $3 projector text role, or NULL
--   $4 log_tables text[] append-only: INSERT and SELECT for the writer
--   $5 read_tables text[] owned by the projector
--   $6 sequences text[] of the log tables
-- Result: statement text
-- Locks: none
-- Index: those of the system tables
WITH schema AS (
    SELECT current_schema()::text AS name
),
roles (role, kind) AS (
    SELECT role, kind
    FROM (VALUES ($1::text, 'writer'), ($2::text, 'reader'), ($3::text, 'projector')) AS given (role, kind)
    WHERE role IS NOT NULL
),
tables (name, kind) AS (
    SELECT name, 'log' FROM unnest($4::text[]) AS log_tables (name)
    UNION ALL
    SELECT name, 'read' FROM unnest($5::text[]) AS read_tables (name)
    UNION ALL
    SELECT 'schema_migrations', 'migrations'
),
present AS (
    SELECT tables.name, tables.kind, format('%I.%I', schema.name, tables.name) AS qualified
    FROM tables
    CROSS JOIN schema
    WHERE to_regclass(format('%I.%I', schema.name, tables.name)) IS NOT NULL
),
statements (step, detail, statement) AS (
    SELECT 1, role, format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role) FROM roles
    UNION ALL
    SELECT 2, role, format('GRANT USAGE ON SCHEMA %I TO %I', schema.name, role)
    FROM roles
    CROSS JOIN schema
    UNION ALL
    -- The projector builds new tables beside the old ones.
    SELECT 3, role, format('GRANT CREATE ON SCHEMA %I TO %I', schema.name, role)
    FROM roles
    CROSS JOIN schema
    WHERE kind = 'projector'
    UNION ALL
    SELECT 4, present.name, format('ALTER TABLE %s OWNER TO %I', present.qualified, role)
    FROM roles
    CROSS JOIN present
    WHERE roles.kind = 'projector'
      AND present.kind = 'read'
    UNION ALL
    SELECT 5, present.name || role, format('GRANT SELECT ON %s TO %I', present.qualified, role)
    FROM roles
    CROSS JOIN present
    UNION ALL
    SELECT 6, present.name, format('GRANT INSERT ON %s TO %I', present.qualified, role)
    FROM roles
    CROSS JOIN present
    WHERE roles.kind = 'writer'
      AND present.kind = 'log'
    UNION ALL
    SELECT 7, sequence, format('GRANT USAGE ON SEQUENCE %I.%I TO %I', schema.name, sequence, role)
    FROM roles
    CROSS JOIN schema
    CROSS JOIN unnest($6::text[]) AS sequences (sequence)
    WHERE roles.kind = 'writer'
      AND to_regclass(format('%I.%I', schema.name, sequence)) IS NOT NULL
    UNION ALL
    -- What the projector builds later is readable at once.
    SELECT 8, owner.role || others.role,
           format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT SELECT ON TABLES TO %I',
                  owner.role, schema.name, others.role)
    FROM roles AS owner
    CROSS JOIN roles AS others
    CROSS JOIN schema
    WHERE owner.kind = 'projector'
      AND others.kind <> 'projector'
)
SELECT statement
FROM statements
ORDER BY step, detail
