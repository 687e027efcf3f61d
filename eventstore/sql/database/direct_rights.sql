-- Purpose: List the rights that were granted to roles, and to PUBLIC, on the objects of a store.
-- Parameters:
--   $1 relations text[] quoted, with their schema
--   $2 functions text[] quoted, with their schema and the types of their arguments
--   $3 roles text[]
-- Result: identity text as given, or the schema's name, quoted; role text, NULL for PUBLIC; privilege text
-- Locks: none
-- Index: those of the system tables
WITH objects (identity, rights) AS (
    SELECT given.identity, coalesce(
        relation.relacl,
        pg_catalog.acldefault(
            CASE relation.relkind WHEN 'S' THEN 's'::pg_catalog."char" ELSE 'r'::pg_catalog."char" END, relation.relowner
        )
    )
    FROM pg_catalog.unnest($1::pg_catalog.text[]) AS given (identity)
    JOIN pg_catalog.pg_class AS relation ON relation.oid = pg_catalog.to_regclass(given.identity)::pg_catalog.oid
    UNION ALL
    SELECT given.identity, part.attacl
    FROM pg_catalog.unnest($1::pg_catalog.text[]) AS given (identity)
    JOIN pg_catalog.pg_attribute AS part ON part.attrelid = pg_catalog.to_regclass(given.identity)::pg_catalog.oid
    WHERE part.attacl IS NOT NULL AND NOT part.attisdropped
    UNION ALL
    SELECT given.identity, coalesce(one.proacl, pg_catalog.acldefault('f'::pg_catalog."char", one.proowner))
    FROM pg_catalog.unnest($2::pg_catalog.text[]) AS given (identity)
    JOIN pg_catalog.pg_proc AS one ON one.oid = pg_catalog.to_regprocedure(given.identity)::pg_catalog.oid
    UNION ALL
    SELECT pg_catalog.quote_ident(one.nspname::pg_catalog.text), coalesce(
        one.nspacl, pg_catalog.acldefault('n'::pg_catalog."char", one.nspowner)
    )
    FROM pg_catalog.pg_namespace AS one
    WHERE one.nspname::pg_catalog.text = {schema_name}
)
SELECT DISTINCT
    objects.identity,
    CASE WHEN acl.grantee <> 0::pg_catalog.oid THEN pg_catalog.pg_get_userbyid(acl.grantee)::pg_catalog.text END AS role,
    acl.privilege_type AS privilege
FROM objects
CROSS JOIN LATERAL pg_catalog.aclexplode(objects.rights) AS acl
WHERE acl.grantee = 0::pg_catalog.oid
    OR pg_catalog.pg_get_userbyid(acl.grantee)::pg_catalog.text = ANY ($3::pg_catalog.text[])
