-- Purpose: Record that a rebuild at position 0 begins in shards.
-- Parameters:
--   $1 projection text
--   $2 epoch bigint
--   $3 shards smallint
-- Result: none; no row is written if another process has taken it over
-- Locks: the row's of the rebuild, shared
-- Index: projection_rebuilds_pkey
WITH held AS (
    SELECT projection FROM {schema}.projection_rebuilds
    WHERE projection = $1::pg_catalog.text AND epoch = $2::bigint AND position = 0
    FOR KEY SHARE
)
INSERT INTO {schema}.projection_rebuild_shards (projection, shard, shards, position, events)
SELECT held.projection, numbers.shard, $3::smallint, 0, 0
FROM held CROSS JOIN pg_catalog.generate_series(0, $3::smallint - 1) AS numbers (shard)
