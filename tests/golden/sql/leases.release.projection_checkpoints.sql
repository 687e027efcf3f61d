-- Purpose: Release a lease, so that another process can take it at once. Its owner may not know its epoch, if it was
--   interrupted while it took the lease.
-- Parameters:
--   $1 projection text
--   $2 owner text
--   $3 partition smallint
-- Result: none
-- Locks: the row's
-- Index: projection_checkpoints_pkey
UPDATE {schema}.projection_checkpoints SET lease_owner = NULL, lease_expires_at = NULL
WHERE projection = $1::pg_catalog.text AND partition = $3::smallint AND lease_owner = $2::pg_catalog.text

