-- Purpose: Give a lease back, so that another worker takes it at once.
-- Parameters:
--   $1 projection text
--   $2 partition smallint
--   $3 epoch bigint
-- Result: none
-- Locks: the row's
-- Index: projection_checkpoints_pkey
UPDATE {schema}.projection_checkpoints SET lease_owner = NULL, lease_expires_at = NULL
WHERE projection = $1::pg_catalog.text AND partition = $2::smallint AND epoch = $3::bigint
