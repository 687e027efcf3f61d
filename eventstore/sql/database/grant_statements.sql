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
    SELECT {schema_name} AS name
),
roles (role, kind) AS (
    SELECT role, kind
    FROM (VALUES ($1::pg_catalog.text, 'writer'), ($2::pg_catalog.text, 'reader'), ($3::pg_catalog.text, 'projector')) AS given (role, kind)
    WHERE role IS NOT NULL
),
tables (name, kind) AS (
    SELECT name, 'log' FROM pg_catalog.unnest($4::pg_catalog.text[]) AS log_tables (name)
    UNION ALL
    SELECT name, 'read' FROM pg_catalog.unnest($5::pg_catalog.text[]) AS read_tables (name)
    UNION ALL
    SELECT 'schema_migrations', 'migrations'
),
present AS (
    SELECT tables.name, tables.kind, pg_catalog.format('%I.%I', schema.name, tables.name) AS qualified
    FROM tables
    CROSS JOIN schema
    WHERE pg_catalog.to_regclass(pg_catalog.format('%I.%I', schema.name, tables.name)) IS NOT NULL
),
statements (step, detail, statement) AS (
    SELECT 1, role, pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', pg_catalog.current_database(), role) FROM roles
    UNION ALL
    SELECT 2, role, pg_catalog.format('GRANT USAGE ON SCHEMA %I TO %I', schema.name, role)
    FROM roles
    CROSS JOIN schema
    UNION ALL
    -- The projector builds new tables beside the old ones.
    SELECT 3, role, pg_catalog.format('GRANT CREATE ON SCHEMA %I TO %I', schema.name, role)
    FROM roles
    CROSS JOIN schema
    WHERE kind = 'projector'
    UNION ALL
    SELECT 4, present.name, pg_catalog.format('ALTER TABLE %s OWNER TO %I', present.qualified, role)
    FROM roles
    CROSS JOIN present
    WHERE roles.kind = 'projector'
      AND present.kind = 'read'
    UNION ALL
    SELECT 5, present.name || role, pg_catalog.format('GRANT SELECT ON %s TO %I', present.qualified, role)
    FROM roles
    CROSS JOIN present
    UNION ALL
    SELECT 6, present.name, pg_catalog.format('GRANT INSERT ON %s TO %I', present.qualified, role)
    FROM roles
    CROSS JOIN present
    WHERE roles.kind = 'writer'
      AND present.kind = 'log'
    UNION ALL
    SELECT 7, sequence, pg_catalog.format('GRANT USAGE ON SEQUENCE %I.%I TO %I', schema.name, sequence, role)
    FROM roles
    CROSS JOIN schema
    CROSS JOIN pg_catalog.unnest($6::pg_catalog.text[]) AS sequences (sequence)
    WHERE roles.kind = 'writer'
      AND pg_catalog.to_regclass(pg_catalog.format('%I.%I', schema.name, sequence)) IS NOT NULL
    UNION ALL
    -- What the projector builds later is readable at once.
    SELECT 8, owner.role || others.role,
           pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT SELECT ON TABLES TO %I',
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
