-- Purpose: List the shards of a rebuild and how far each is.
-- Parameters:
--   $1 projection text
-- Result: shard smallint, shards smallint, position bigint, events bigint; no row where it is not built in shards
-- Locks: none beyond ACCESS SHARE
-- Index: projection_rebuild_shards_pkey
SELECT shard, shards, position, events FROM {schema}.projection_rebuild_shards WHERE projection = $1::pg_catalog.text ORDER BY shard
