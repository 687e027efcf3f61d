-- Purpose: List the rights of roles that do not come from GRANT: superuser, membership and ownership.
-- Parameters:
--   $1 roles text[]
--   $2 owner text of the store
-- Result: role text, is_superuser boolean, is_member boolean of the owner's role, owns text[] other objects in the store's
--   schema, the kind and the name of each
-- Locks: none
-- Index: those of the system tables
SELECT
    role.rolname::pg_catalog.text AS role,
    role.rolsuper AS is_superuser,
    pg_catalog.pg_has_role(role.oid, owner.oid, 'MEMBER') AS is_member,
    ARRAY(
        SELECT pg_catalog.format('%s %I.%I', CASE relation.relkind
            WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
            WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE 'type'
        END, {schema_name}, relation.relname)
        FROM pg_catalog.pg_class AS relation
        WHERE relation.relowner = role.oid
            AND relation.relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident({schema_name}))::pg_catalog.oid
            AND relation.relkind NOT IN ('i', 'I', 't')
        UNION ALL
        SELECT pg_catalog.format(
            'function %I.%I(%s)', {schema_name}, one.proname, (
            SELECT pg_catalog.string_agg(pg_catalog.format_type(argument.type, NULL), ', ' ORDER BY argument.place)
            FROM pg_catalog.unnest(one.proargtypes) WITH ORDINALITY AS argument (type, place)
        )
        )
        FROM pg_catalog.pg_proc AS one
        WHERE one.proowner = role.oid
            AND one.pronamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident({schema_name}))::pg_catalog.oid
        ORDER BY 1
    ) AS owns
FROM pg_catalog.pg_roles AS role
JOIN pg_catalog.pg_roles AS owner ON owner.rolname::pg_catalog.text = $2::pg_catalog.text
WHERE role.rolname::pg_catalog.text = ANY ($1::pg_catalog.text[])
ORDER BY role
