-- Purpose: Return the position up to which a projection has folded the log, and the streams and events that it leaves
--   out.
-- Parameters:
--   $1 projection text
--   $2 version integer of the code's projection
-- Result: position bigint (0: never folded, or by another version), quarantined uuid[], discarded bigint[],
--   doubtful uuid[] the streams of events that are or were discarded, doubtful_from integer[] the first version of each
--   that may or may not be in a stored state
-- Locks: none beyond ACCESS SHARE
-- Index: projection_checkpoints_pkey, projection_quarantine_pkey, projection_discards_pkey, events_position_key
WITH doubtful AS MATERIALIZED (
    SELECT event.stream_id, pg_catalog.min(event.version) AS version
    FROM {schema}.projection_discards AS discard
    CROSS JOIN LATERAL (
        SELECT stream_id, version FROM {schema}.events WHERE position = discard.position OFFSET 0
    ) AS event
    WHERE discard.projection = $1::pg_catalog.text
    GROUP BY event.stream_id
)
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
    ) AS discarded,
    ARRAY(SELECT stream_id FROM doubtful ORDER BY stream_id) AS doubtful,
    ARRAY(SELECT version FROM doubtful ORDER BY stream_id) AS doubtful_from
