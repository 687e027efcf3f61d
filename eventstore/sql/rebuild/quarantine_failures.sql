-- Purpose: Replace the keys in quarantine by those that a rebuild cannot fold, in the transaction of its swap.
-- Parameters:
--   $1 projection text
-- Result: none
-- Locks: the rows'
-- Index: projection_quarantine_pkey, projection_rebuild_failures_pkey
WITH folded AS (
    DELETE FROM {schema}.projection_quarantine AS held
    WHERE held.projection = $1::pg_catalog.text
        AND NOT EXISTS (
            SELECT FROM {schema}.projection_rebuild_failures AS failed
            WHERE failed.projection = held.projection AND failed.key = held.key
        )
)
INSERT INTO {schema}.projection_quarantine AS held (projection, key, stream_id, position, type, error, traceback)
SELECT projection, key, stream_id, position, type, error, traceback
FROM {schema}.projection_rebuild_failures
WHERE projection = $1::pg_catalog.text
ON CONFLICT ON CONSTRAINT projection_quarantine_pkey DO UPDATE
SET stream_id = EXCLUDED.stream_id,
    position = EXCLUDED.position,
    type = EXCLUDED.type,
    error = EXCLUDED.error,
    traceback = EXCLUDED.traceback,
    attempts = held.attempts + 1
