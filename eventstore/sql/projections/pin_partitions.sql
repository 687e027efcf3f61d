-- Purpose: Lock all checkpoints of a projection until the transaction ends.
-- Parameters:
--   $1 projection text
-- Result: partition smallint, position bigint, epoch bigint
-- Locks: the rows', FOR UPDATE, in the order of partitions
-- Index: projection_checkpoints_pkey
SELECT partition, position, epoch FROM {schema}.projection_checkpoints
WHERE projection = $1::pg_catalog.text
ORDER BY partition
FOR UPDATE
