-- Purpose: List the default rights that roles will get on future objects in the schema of a store.
-- Parameters:
--   $1 roles text[]
-- Result: maker text the role that creates the objects; kind text as ALTER DEFAULT PRIVILEGES names it; role text;
--   may_revoke boolean whether this role may act as the maker
-- Locks: none
-- Index: those of the system tables
SELECT DISTINCT
    pg_catalog.pg_get_userbyid(given.defaclrole)::pg_catalog.text AS maker,
    CASE given.defaclobjtype
        WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES'
    END AS kind,
    pg_catalog.pg_get_userbyid(acl.grantee)::pg_catalog.text AS role,
    pg_catalog.pg_has_role(current_user, given.defaclrole, 'USAGE') AS may_revoke
FROM pg_catalog.pg_default_acl AS given
JOIN pg_catalog.pg_namespace AS schema ON schema.oid = given.defaclnamespace
CROSS JOIN LATERAL pg_catalog.aclexplode(given.defaclacl) AS acl
WHERE acl.grantee <> 0::pg_catalog.oid
    AND acl.grantee <> given.defaclrole
    AND given.defaclobjtype IN ('r', 'S', 'f', 'T')
    AND pg_catalog.pg_get_userbyid(acl.grantee)::pg_catalog.text = ANY ($1::pg_catalog.text[])
    AND schema.nspname::pg_catalog.text = {schema_name}
ORDER BY maker, kind, role
