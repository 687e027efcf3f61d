-- Purpose: Register a projection with one partition, unless it is registered already.
-- Parameters:
--   $1 projection text
--   $2 version integer of the code, which its table will be built by
-- Result: none
-- Locks: the rows'
-- Index: projections_pkey, projection_checkpoints_pkey
WITH registered AS (
    INSERT INTO {schema}.projections (name, partitions, version, counted_after)
    -- If the row exists, INSERT is not tried, because it would wait for a transaction that changes the row.
    SELECT $1::pg_catalog.text, 1, $2::integer, 0 WHERE NOT EXISTS (SELECT FROM {schema}.projections WHERE name = $1::pg_catalog.text)
    ON CONFLICT ON CONSTRAINT projections_pkey DO NOTHING
)
INSERT INTO {schema}.projection_checkpoints (projection, partition, position, epoch, moved_at)
SELECT $1::pg_catalog.text, 0, 0, 0, pg_catalog.clock_timestamp() WHERE NOT EXISTS (SELECT FROM {schema}.projection_checkpoints WHERE projection = $1::pg_catalog.text AND partition = 0)
ON CONFLICT ON CONSTRAINT projection_checkpoints_pkey DO NOTHING
