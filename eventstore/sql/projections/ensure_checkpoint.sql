-- Purpose: Begin a projection at position 0, unless it has begun.
-- Parameters:
--   $1 projection text
--   $2 lane smallint
-- Result: none
-- Locks: the row's
-- Index: projection_checkpoints_pkey
INSERT INTO projection_checkpoints (projection, lane) VALUES ($1::text, $2::smallint)
ON CONFLICT ON CONSTRAINT projection_checkpoints_pkey DO NOTHING
