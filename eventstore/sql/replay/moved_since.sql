-- Purpose: Find the streams of a category with an event after a position, and return whether the read table still is one
--   that the code's version built and that has everything up to a position.
-- Parameters:
--   $1 category text
--   $2 after bigint position, exclusive
--   $3 projection text that keeps the table
--   $4 version integer of the code's projection
--   $5 folded bigint position that the table must have reached
-- Result: stream_id uuid, NULL in one row; is_current boolean
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key, projections_pkey, projection_checkpoints_pkey
SELECT
    moved.stream_id,
    NOT EXISTS (SELECT FROM {schema}.projections WHERE name = $3::pg_catalog.text AND version <> $4::integer)
        AND coalesce((
            SELECT pg_catalog.min(position) FROM {schema}.projection_checkpoints WHERE projection = $3::pg_catalog.text
        ), 0) >= $5::bigint AS is_current
FROM (
    -- Without an upper bound, a planner without statistics expects a third of the table here, and reads all of it.
    SELECT DISTINCT stream_id FROM {schema}.events
    WHERE position > $2::bigint AND position <= 9223372036854775807::bigint AND category = $1::pg_catalog.text
    UNION ALL
    SELECT NULL
) AS moved
