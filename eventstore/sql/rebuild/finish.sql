-- Purpose: Forget a rebuild: its table is the live one, or is gone.
-- Parameters:
--   $1 projection text
--   $2 epoch bigint
-- Result: none
-- Locks: the rows'
-- Index: projection_rebuilds_pkey, projection_rebuild_failures_pkey, projection_rebuild_parts_pkey,
--   projection_deliveries_pkey
WITH failures AS (
    DELETE FROM {schema}.projection_rebuild_failures WHERE projection = $1::pg_catalog.text
),
parts AS (
    DELETE FROM {schema}.projection_rebuild_parts WHERE projection = $1::pg_catalog.text
),
deliveries AS (
    DELETE FROM {schema}.projection_deliveries WHERE projection = $1::pg_catalog.text AND partition < 0
)
DELETE FROM {schema}.projection_rebuilds WHERE projection = $1::pg_catalog.text AND epoch = $2::bigint
