-- Purpose: Read how far a projection has come.
-- Parameters:
--   $1 projection text
--   $2 lane smallint
-- Result: position bigint, epoch bigint, moved_at timestamptz; no row where it has not begun
-- Locks: none beyond ACCESS SHARE
-- Index: projection_checkpoints_pkey
SELECT position, epoch, moved_at FROM projection_checkpoints
WHERE projection = $1::text AND lane = $2::smallint
