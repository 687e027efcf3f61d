-- Purpose: Hold a lease for longer.
-- Parameters:
--   $1 projection text
--   $2 partition smallint
--   $3 epoch bigint
--   $4 lease_s double precision seconds
-- Result: epoch bigint; no row where the lease was lost
-- Locks: the row's
-- Index: projection_checkpoints_pkey
UPDATE {schema}.projection_checkpoints SET lease_expires_at = pg_catalog.clock_timestamp() + $4::double precision * interval '1 second'
WHERE projection = $1::pg_catalog.text AND partition = $2::smallint AND epoch = $3::bigint
RETURNING epoch
