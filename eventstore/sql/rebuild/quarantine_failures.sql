-- Purpose: Make the keys that a rebuild cannot fold those that are in quarantine, in the transaction of its swap.
-- Parameters:
--   $1 projection text
-- Result: none
-- Locks: the rows'
-- Index: projection_quarantine_pkey, projection_rebuild_failures_pkey
WITH folded AS (
    DELETE FROM projection_quarantine AS held
    WHERE held.projection = $1::text
        AND NOT EXISTS (
            SELECT FROM projection_rebuild_failures AS failed
            WHERE failed.projection = held.projection AND failed.key = held.key
        )
)
INSERT INTO projection_quarantine AS held (projection, key, stream_id, position, type, error, traceback)
SELECT projection, key, stream_id, position, type, error, traceback
FROM projection_rebuild_failures
WHERE projection = $1::text
ON CONFLICT ON CONSTRAINT projection_quarantine_pkey DO UPDATE
SET stream_id = EXCLUDED.stream_id,
    position = EXCLUDED.position,
    type = EXCLUDED.type,
    error = EXCLUDED.error,
    traceback = EXCLUDED.traceback,
    attempts = held.attempts + 1
