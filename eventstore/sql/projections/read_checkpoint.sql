-- Purpose: Read the checkpoint of a partition of a projection.
-- Parameters:
--   $1 projection text
--   $2 partition smallint
-- Result: position bigint, epoch bigint, partitions smallint, version integer (of the code that the table was built
--   by), counted_after bigint position, moved_at timestamptz; no row if there is no such partition
-- Locks: none beyond ACCESS SHARE
-- Index: projection_checkpoints_pkey, projections_pkey
SELECT
    checkpoint.position, checkpoint.epoch, coalesce(projection.partitions, 1::smallint) AS partitions,
    projection.version, coalesce(projection.counted_after, 0) AS counted_after, checkpoint.moved_at
FROM {schema}.projection_checkpoints AS checkpoint
LEFT JOIN {schema}.projections AS projection ON projection.name = checkpoint.projection
WHERE checkpoint.projection = $1::pg_catalog.text AND checkpoint.partition = $2::smallint
