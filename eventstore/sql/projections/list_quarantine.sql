-- Purpose: List the keys of a projection whose events cannot be folded.
-- Parameters:
--   $1 projection text NULL for all
-- Result: the columns of projection_quarantine, the longest there first
-- Locks: none beyond ACCESS SHARE
-- Index: projection_quarantine_pkey
SELECT projection, key, stream_id, position, type, error, traceback, attempts, quarantined_at
FROM projection_quarantine
WHERE $1::text IS NULL OR projection = $1::text
ORDER BY quarantined_at, projection, key
