-- Purpose: Check whether this role may grant rights on the objects of another role, and return its name.
-- Parameters:
--   $1 owner text
-- Result: name text of this role; may_grant boolean; is_superuser boolean whether the owner is one
-- Locks: none
-- Index: none
SELECT
    current_user::pg_catalog.text AS name,
    pg_catalog.pg_has_role(current_user, owner.oid, 'USAGE') AS may_grant,
    owner.rolsuper AS is_superuser
FROM pg_catalog.pg_roles AS owner
WHERE owner.rolname::pg_catalog.text = $1::pg_catalog.text
