-- Purpose: Move a checkpoint, if it is where this worker left it and nobody has taken the projection over. Run it
--   first in the transaction that writes the rows: who comes second waits here, and then finds it moved.
-- Parameters:
--   $1 projection text
--   $2 lane smallint
--   $3 before bigint position
--   $4 epoch bigint
--   $5 after bigint position
-- Result: position bigint; no row where another worker was first
-- Locks: the row's, until the transaction ends
-- Index: projection_checkpoints_pkey
UPDATE projection_checkpoints SET position = $5::bigint, moved_at = clock_timestamp()
WHERE projection = $1::text AND lane = $2::smallint AND position = $3::bigint AND epoch = $4::bigint
RETURNING position
