-- Purpose: Find the streams of a category that began up to a position, and that the read table may have with an event after
--   it, or without one that belongs to it: those in quarantine. Return also whether the read table still is one that the
--   code's version built and that has everything up to a position.
-- Parameters:
--   $1 category text
--   $2 after bigint position, exclusive
--   $3 projection text that keeps the table
--   $4 version integer of the code's projection
--   $5 folded bigint position that the table must have reached
-- Result: stream_id uuid, NULL in one row; is_current boolean
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key, projections_pkey, projection_checkpoints_pkey, projection_quarantine_pkey
WITH folded AS MATERIALIZED (
    SELECT
        coalesce(pg_catalog.max(position), 0) AS through,
        coalesce(pg_catalog.min(position), 0) >= $5::bigint
            AND NOT EXISTS (SELECT FROM {schema}.projections WHERE name = $3::pg_catalog.text AND version <> $4::integer)
            AS is_current
    FROM {schema}.projection_checkpoints
    WHERE projection = $3::pg_catalog.text
)
SELECT moved.stream_id, folded.is_current
FROM folded CROSS JOIN (
    SELECT stream_id FROM {schema}.events
    WHERE position > $2::bigint AND position <= (SELECT through FROM folded) AND category = $1::pg_catalog.text
    GROUP BY stream_id
    HAVING pg_catalog.min(version) > 1
    UNION ALL
    SELECT stream_id FROM {schema}.projection_quarantine WHERE projection = $3::pg_catalog.text
    UNION ALL
    SELECT NULL
) AS moved
