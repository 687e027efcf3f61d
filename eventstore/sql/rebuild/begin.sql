-- Purpose: Note that a rebuild begins at nothing: position 0, no failures, nothing delivered.
-- Parameters:
--   $1 projection text
--   $2 version integer of the code
--   $3 epoch bigint
-- Result: epoch bigint; no row where another process has taken it over
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
UPDATE {schema}.projection_rebuilds SET version = $2::integer, position = 0, events = 0, started_at = pg_catalog.clock_timestamp()
WHERE projection = $1::pg_catalog.text AND epoch = $3::bigint
RETURNING epoch
