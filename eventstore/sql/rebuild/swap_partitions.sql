-- Purpose: Set every partition of a projection to the position of the new table, with epochs above all earlier ones,
--   so the present workers can write no more until they read their checkpoint again. Run it in the transaction that
--   pinned the partitions.
-- Parameters:
--   $1 projection text
--   $2 version integer of the code that built the table
--   $3 position bigint
--   $4 epoch bigint
-- Result: none
-- Locks: the rows'
-- Index: projections_pkey, projection_checkpoints_pkey
WITH built AS (
    UPDATE {schema}.projections SET version = $2::integer, counted_after = 0 WHERE name = $1::pg_catalog.text
)
UPDATE {schema}.projection_checkpoints
SET position = $3::bigint,
    epoch = $4::bigint,
    moved_at = pg_catalog.clock_timestamp(),
    lease_owner = NULL,
    lease_expires_at = NULL
WHERE projection = $1::pg_catalog.text
