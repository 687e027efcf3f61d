-- Purpose: Delete the rows of a rebuild whose table was swapped in or dropped.
-- Parameters:
--   $1 projection text
--   $2 epoch bigint
-- Result: none
-- Locks: the rows'
-- Index: projection_rebuilds_pkey, projection_rebuild_failures_pkey, projection_rebuild_shards_pkey,
--   projection_delivery_counts_pkey
WITH failures AS (
    DELETE FROM {schema}.projection_rebuild_failures WHERE projection = $1::pg_catalog.text
),
shards AS (
    DELETE FROM {schema}.projection_rebuild_shards WHERE projection = $1::pg_catalog.text
),
counts AS (
    DELETE FROM {schema}.projection_delivery_counts WHERE projection = $1::pg_catalog.text AND partition < 0
)
DELETE FROM {schema}.projection_rebuilds WHERE projection = $1::pg_catalog.text AND epoch = $2::bigint
