-- Purpose: Record the start of a rebuild: position 0, no failures, no delivery counts.
-- Parameters:
--   $1 projection text
--   $2 version integer of the code
--   $3 epoch bigint
--   $4 is_comparison boolean whether the table is only compared with the live one and never swapped in
-- Result: epoch bigint; no row if another process has taken it over
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
UPDATE {schema}.projection_rebuilds SET version = $2::integer, position = 0, events = 0, started_at = pg_catalog.clock_timestamp(), is_comparison = $4::boolean
WHERE projection = $1::pg_catalog.text AND epoch = $3::bigint
RETURNING epoch
