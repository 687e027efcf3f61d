-- Purpose: List the skip list of a projection.
-- Parameters:
--   $1 projection text
-- Result: position bigint, key text, discarded_by text, reason text, discarded_at timestamptz
-- Locks: none beyond ACCESS SHARE
-- Index: projection_discards_pkey
SELECT position, key, discarded_by, reason, discarded_at FROM {schema}.projection_discards
WHERE projection = $1::pg_catalog.text AND folded_again_at IS NULL
ORDER BY position
