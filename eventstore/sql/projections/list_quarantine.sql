-- Purpose: List the keys of a projection whose events cannot be folded.
-- Parameters:
--   $1 projection text NULL for all
-- Result: the columns of projection_quarantine, oldest first
-- Locks: none beyond ACCESS SHARE
-- Index: projection_quarantine_pkey
SELECT projection, key, stream_id, position, type, error, traceback, attempts, quarantined_at
FROM {schema}.projection_quarantine
WHERE $1::pg_catalog.text IS NULL OR projection = $1::pg_catalog.text
ORDER BY quarantined_at, projection, key
