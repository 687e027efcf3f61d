-- Purpose: Change the number of partitions of a projection. All get one position, and epochs above all earlier ones,
--   so the present workers can write no more. Run it in the transaction that pinned the partitions.
-- Parameters:
--   $1 projection text
--   $2 partitions smallint
--   $3 position bigint
--   $4 epoch bigint
-- Result: none
-- Locks: the rows'
-- Index: projection_checkpoints_pkey
WITH counted AS (
    UPDATE {schema}.projections SET partitions = $2::smallint WHERE name = $1::pg_catalog.text
),
gone AS (
    DELETE FROM {schema}.projection_checkpoints WHERE projection = $1::pg_catalog.text AND partition >= $2::smallint
)
INSERT INTO {schema}.projection_checkpoints (projection, partition, position, epoch)
SELECT $1::pg_catalog.text, partition::smallint, $3::bigint, $4::bigint
FROM pg_catalog.generate_series(0, $2::smallint - 1) AS partition
ON CONFLICT ON CONSTRAINT projection_checkpoints_pkey DO UPDATE
SET position = EXCLUDED.position,
    epoch = EXCLUDED.epoch,
    lease_owner = NULL,
    lease_expires_at = NULL
