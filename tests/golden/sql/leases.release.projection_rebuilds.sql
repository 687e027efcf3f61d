-- Purpose: Release a lease, so that another process can take it at once.
-- Parameters:
--   $1 projection text
--   $2 epoch bigint
-- Result: none
-- Locks: the row's
-- Index: projection_rebuilds_pkey
UPDATE {schema}.projection_rebuilds SET lease_owner = NULL, lease_expires_at = NULL
WHERE projection = $1::pg_catalog.text AND epoch = $2::bigint

