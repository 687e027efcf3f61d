-- Purpose: Move the checkpoint of a shard of a rebuild, if no other process has taken the rebuild over. Run it first
--   in the transaction that writes the rows. Until the transaction ends, the rebuild cannot be taken over, but its
--   lease can be renewed.
-- Parameters:
--   $1 projection text
--   $2 epoch bigint
--   $3 before bigint position
--   $4 after bigint position
--   $5 events bigint the number of events folded on the way
--   $6 shard smallint
-- Result: position bigint; no row if another process has taken it over
-- Locks: the shard's row, and the rebuild's, shared, until the transaction ends
-- Index: projection_rebuilds_pkey, projection_rebuild_shards_pkey
WITH held AS (
    SELECT projection FROM {schema}.projection_rebuilds
    WHERE projection = $1::pg_catalog.text AND epoch = $2::bigint
    FOR KEY SHARE
)
UPDATE {schema}.projection_rebuild_shards AS moved
SET position = $4::bigint, events = moved.events + $5::bigint
FROM held
WHERE moved.projection = held.projection AND moved.shard = $6::smallint AND moved.position = $3::bigint
RETURNING moved.position
