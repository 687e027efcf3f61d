-- Purpose: List the effective rights of roles on the objects of a store from all sources: granted to the role, to
--   PUBLIC, or to a role that it is a member of; as the owner, or as a superuser.
-- Parameters:
--   $1 relations text[] quoted, with their schema
--   $2 functions text[] quoted, with their schema and the types of their arguments
--   $3 roles text[]
-- Result: role text, identity text as given, or the schema's or the database's name, quoted; privilege text
-- Locks: none
-- Index: those of the system tables
WITH roles AS (
    SELECT one.oid, one.rolname::pg_catalog.text AS name
    FROM pg_catalog.pg_roles AS one
    WHERE one.rolname::pg_catalog.text = ANY ($3::pg_catalog.text[])
),
relations AS (
    SELECT given.identity, relation.oid, relation.relkind = 'S' AS is_sequence
    FROM pg_catalog.unnest($1::pg_catalog.text[]) AS given (identity)
    JOIN pg_catalog.pg_class AS relation ON relation.oid = pg_catalog.to_regclass(given.identity)::pg_catalog.oid
),
privileges (privilege, is_of_columns) AS (
    VALUES ('SELECT', true), ('INSERT', true), ('UPDATE', true), ('REFERENCES', true), ('DELETE', false),
        ('TRUNCATE', false), ('TRIGGER', false)
    UNION ALL
    -- The right to LOCK, VACUUM and REINDEX a table, from PostgreSQL 17 on.
    SELECT 'MAINTAIN', false WHERE pg_catalog.current_setting('server_version_num')::integer >= 170000
)
SELECT roles.name AS role, relations.identity, privileges.privilege
FROM roles CROSS JOIN relations CROSS JOIN privileges
WHERE NOT relations.is_sequence AND CASE
    WHEN privileges.is_of_columns
        THEN pg_catalog.has_any_column_privilege(roles.oid, relations.oid, privileges.privilege)
    ELSE pg_catalog.has_table_privilege(roles.oid, relations.oid, privileges.privilege)
END
UNION ALL
SELECT roles.name, relations.identity, named.privilege
FROM roles CROSS JOIN relations CROSS JOIN (VALUES ('SELECT'), ('USAGE'), ('UPDATE')) AS named (privilege)
WHERE relations.is_sequence AND pg_catalog.has_sequence_privilege(roles.oid, relations.oid, named.privilege)
UNION ALL
SELECT roles.name, given.identity, 'EXECUTE'
FROM roles CROSS JOIN pg_catalog.unnest($2::pg_catalog.text[]) AS given (identity)
WHERE pg_catalog.has_function_privilege(
    roles.oid, pg_catalog.to_regprocedure(given.identity)::pg_catalog.oid, 'EXECUTE'
)
UNION ALL
SELECT roles.name, pg_catalog.quote_ident(one.nspname::pg_catalog.text), named.privilege
FROM roles CROSS JOIN pg_catalog.pg_namespace AS one CROSS JOIN (VALUES ('USAGE'), ('CREATE')) AS named (privilege)
WHERE one.nspname::pg_catalog.text = {schema_name}
    AND pg_catalog.has_schema_privilege(roles.oid, one.oid, named.privilege)
UNION ALL
SELECT roles.name, pg_catalog.quote_ident(one.datname::pg_catalog.text), 'CONNECT'
FROM roles CROSS JOIN pg_catalog.pg_database AS one
WHERE one.datname = pg_catalog.current_database()
    AND pg_catalog.has_database_privilege(roles.oid, one.oid, 'CONNECT')
