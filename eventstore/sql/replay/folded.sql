-- Purpose: Tell how far a projection has folded the log, and which streams and events it leaves out.
-- Parameters:
--   $1 projection text
--   $2 version integer of the code's projection
-- Result: position bigint (0: never folded, or by another version), quarantined uuid[], discarded bigint[]
-- Locks: none beyond ACCESS SHARE
-- Index: projection_checkpoints_pkey, projection_quarantine_pkey, projection_discards_pkey
SELECT
    (
        SELECT coalesce(min(position), 0) FROM projection_checkpoints
        WHERE projection = $1::text
            AND NOT EXISTS (SELECT FROM projections WHERE name = $1::text AND version <> $2::integer)
    ) AS position,
    ARRAY(SELECT stream_id FROM projection_quarantine WHERE projection = $1::text) AS quarantined,
    ARRAY(
        SELECT position FROM projection_discards
        WHERE projection = $1::text AND folded_again_at IS NULL
    ) AS discarded
