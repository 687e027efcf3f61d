-- Purpose: Return the position up to which a projection has folded the log, and the streams and events that it leaves
--   out.
-- Parameters:
--   $1 projection text
--   $2 version integer of the code's projection
-- Result: position bigint (0: never folded, or by another version), quarantined uuid[], discarded bigint[]
-- Locks: none beyond ACCESS SHARE
-- Index: projection_checkpoints_pkey, projection_quarantine_pkey, projection_discards_pkey
SELECT
    (
        SELECT coalesce(pg_catalog.min(position), 0) FROM {schema}.projection_checkpoints
        WHERE projection = $1::pg_catalog.text
            AND NOT EXISTS (SELECT FROM {schema}.projections WHERE name = $1::pg_catalog.text AND version <> $2::integer)
    ) AS position,
    ARRAY(SELECT stream_id FROM {schema}.projection_quarantine WHERE projection = $1::pg_catalog.text) AS quarantined,
    ARRAY(
        SELECT position FROM {schema}.projection_discards
        WHERE projection = $1::pg_catalog.text AND folded_again_at IS NULL
    ) AS discarded
