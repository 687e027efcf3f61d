-- Purpose: Hold a projection where it is until the transaction ends.
-- Parameters:
--   $1 projection text
--   $2 lane smallint
-- Result: position bigint; no row where it has not begun
-- Locks: the row's, FOR UPDATE
-- Index: projection_checkpoints_pkey
SELECT position FROM projection_checkpoints
WHERE projection = $1::text AND lane = $2::smallint
FOR UPDATE
