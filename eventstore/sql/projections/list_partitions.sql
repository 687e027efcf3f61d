-- Purpose: Read the checkpoint of each partition of a projection.
-- Parameters:
--   $1 projection text
-- Result: partition smallint, position bigint, epoch bigint, lease_owner text, lease_expires_at timestamptz,
--   moved_at timestamptz; in the order of partitions
-- Locks: none beyond ACCESS SHARE
-- Index: projection_checkpoints_pkey
SELECT partition, position, epoch, lease_owner, lease_expires_at, moved_at FROM {schema}.projection_checkpoints
WHERE projection = $1::pg_catalog.text
ORDER BY partition
