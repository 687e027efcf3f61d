-- Purpose: Read how far a lane of a projection has come.
-- Parameters:
--   $1 projection text
--   $2 lane smallint
-- Result: position bigint, epoch bigint, lanes smallint, version integer (of the code that the table was built by),
--   counted_after bigint position, moved_at timestamptz; no row where there is no such lane
-- Locks: none beyond ACCESS SHARE
-- Index: projection_checkpoints_pkey, projections_pkey
SELECT
    checkpoint.position, checkpoint.epoch, coalesce(projection.lanes, 1::smallint) AS lanes,
    projection.version, coalesce(projection.counted_after, 0) AS counted_after, checkpoint.moved_at
FROM {schema}.projection_checkpoints AS checkpoint
LEFT JOIN {schema}.projections AS projection ON projection.name = checkpoint.projection
WHERE checkpoint.projection = $1::pg_catalog.text AND checkpoint.lane = $2::smallint
