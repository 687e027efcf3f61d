-- Purpose: Read how far each lane of a projection has come.
-- Parameters:
--   $1 projection text
-- Result: lane smallint, position bigint, epoch bigint, lease_owner text, lease_expires_at timestamptz,
--   moved_at timestamptz; in the order of lanes
-- Locks: none beyond ACCESS SHARE
-- Index: projection_checkpoints_pkey
SELECT lane, position, epoch, lease_owner, lease_expires_at, moved_at FROM {schema}.projection_checkpoints
WHERE projection = $1::pg_catalog.text
ORDER BY lane
