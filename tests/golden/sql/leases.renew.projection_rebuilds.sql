-- Purpose: Extend a lease.
-- Parameters:
--   $1 projection text
--   $2 epoch bigint
--   $3 lease_s double precision seconds
-- Result: epoch bigint; no row if the lease was lost
-- Locks: the row's
-- Index: projection_rebuilds_pkey
UPDATE {schema}.projection_rebuilds SET lease_expires_at = pg_catalog.clock_timestamp() + $3::double precision * interval '1 second'
WHERE projection = $1::pg_catalog.text AND epoch = $2::bigint
RETURNING epoch

