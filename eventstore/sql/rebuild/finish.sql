-- Purpose: Forget a rebuild: its table is the live one, or is gone.
-- Parameters:
--   $1 projection text
--   $2 epoch bigint
-- Result: none
-- Locks: the rows'
-- Index: projection_rebuilds_pkey, projection_rebuild_failures_pkey, projection_rebuild_parts_pkey,
--   projection_deliveries_pkey
WITH failures AS (
    DELETE FROM projection_rebuild_failures WHERE projection = $1::text
),
parts AS (
    DELETE FROM projection_rebuild_parts WHERE projection = $1::text
),
deliveries AS (
    DELETE FROM projection_deliveries WHERE projection = $1::text AND lane < 0
)
DELETE FROM projection_rebuilds WHERE projection = $1::text AND epoch = $2::bigint
