-- Purpose: Read the state of a rebuild.
-- Parameters:
--   $1 projection text
-- Result: version integer, position bigint, events bigint, epoch bigint, lease_owner text, lease_expires_at
--   timestamptz, is_alive boolean (its process has renewed the lease), age_s double precision, is_comparison boolean;
--   no row if there is none
-- Locks: none beyond ACCESS SHARE
-- Index: projection_rebuilds_pkey
SELECT
    version, position, events, epoch, lease_owner, lease_expires_at,
    coalesce(lease_expires_at > pg_catalog.clock_timestamp(), false) AS is_alive,
    extract(epoch FROM pg_catalog.clock_timestamp() - started_at)::double precision AS age_s,
    is_comparison
FROM {schema}.projection_rebuilds
WHERE projection = $1::pg_catalog.text
