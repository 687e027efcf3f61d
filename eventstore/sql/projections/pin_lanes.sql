-- Purpose: Hold all lanes of a projection where they are until the transaction ends.
-- Parameters:
--   $1 projection text
-- Result: lane smallint, position bigint, epoch bigint
-- Locks: the rows', FOR UPDATE, in the order of lanes
-- Index: projection_checkpoints_pkey
SELECT lane, position, epoch FROM {schema}.projection_checkpoints
WHERE projection = $1::pg_catalog.text
ORDER BY lane
FOR UPDATE
