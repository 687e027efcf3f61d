-- Purpose: List the shards of a rebuild with their positions.
-- Parameters:
--   $1 projection text
-- Result: shard smallint, shards smallint, position bigint, events bigint; no row if the rebuild has no shards
-- Locks: none beyond ACCESS SHARE
-- Index: projection_rebuild_shards_pkey
SELECT shard, shards, position, events FROM {schema}.projection_rebuild_shards WHERE projection = $1::pg_catalog.text ORDER BY shard
