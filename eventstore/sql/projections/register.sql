-- Purpose: Make a projection known, with one lane, unless it is.
-- Parameters:
--   $1 projection text
--   $2 version integer of the code, which its table will be built by
-- Result: none
-- Locks: the rows'
-- Index: projections_pkey, projection_checkpoints_pkey
WITH registered AS (
    INSERT INTO projections (name, version) VALUES ($1::text, $2::integer)
    ON CONFLICT ON CONSTRAINT projections_pkey DO NOTHING
)
INSERT INTO projection_checkpoints (projection, lane) VALUES ($1::text, 0)
ON CONFLICT ON CONSTRAINT projection_checkpoints_pkey DO NOTHING
