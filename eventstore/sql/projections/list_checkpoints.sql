-- Purpose: Read the checkpoints of all projections.
-- Parameters: none
-- Result: projection text, partition smallint, position bigint, moved_s_ago double precision
-- Locks: none beyond ACCESS SHARE
-- Index: none, the table has a row for each partition of a projection
SELECT
    projection, partition, position,
    extract(epoch FROM pg_catalog.clock_timestamp() - moved_at)::double precision AS moved_s_ago
FROM {schema}.projection_checkpoints
ORDER BY projection, partition
