-- Purpose: Join the shards of a rebuild, which are all at one position: the rebuild continues from there without
--   shards.
-- Parameters:
--   $1 projection text
--   $2 epoch bigint
--   $3 position bigint of each shard
-- Result: position bigint; no row if another process has taken it over, or a shard is at another position
-- Locks: the rows'
-- Index: projection_rebuilds_pkey, projection_rebuild_shards_pkey, projection_delivery_counts_pkey
WITH joined AS (
    UPDATE {schema}.projection_rebuilds AS build
    SET position = $3::bigint, events = shards.events
    FROM (
        SELECT pg_catalog.sum(events)::bigint AS events, pg_catalog.bool_and(position = $3::bigint) AS are_level
        FROM {schema}.projection_rebuild_shards WHERE projection = $1::pg_catalog.text
    ) AS shards
    WHERE build.projection = $1::pg_catalog.text AND build.epoch = $2::bigint AND shards.are_level
    RETURNING build.projection, build.position
),
shards AS (
    DELETE FROM {schema}.projection_rebuild_shards AS shard USING joined WHERE shard.projection = joined.projection
),
delivered AS (
    -- The delivery counts of shard 0 are those of partition -1, as for a rebuild without shards; shard 1 has
    -- partition -2, and so on.
    DELETE FROM {schema}.projection_delivery_counts AS given USING joined
    WHERE given.projection = joined.projection AND given.partition < -1
    RETURNING given.range, given.events, given.digest
),
counted AS (
    INSERT INTO {schema}.projection_delivery_counts AS so_far (projection, partition, range, events, digest)
    SELECT $1::pg_catalog.text, -1, range, pg_catalog.sum(events)::bigint, pg_catalog.bit_xor(digest) FROM delivered GROUP BY range
    ON CONFLICT ON CONSTRAINT projection_delivery_counts_pkey DO UPDATE
    SET events = so_far.events + EXCLUDED.events, digest = so_far.digest # EXCLUDED.digest
)
SELECT position FROM joined
