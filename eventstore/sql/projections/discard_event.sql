-- Purpose: Put an event on the skip list of a projection, with the person who decided it and the reason.
-- Parameters:
--   $1 projection text
--   $2 position bigint
--   $3 key text
--   $4 discarded_by text
--   $5 reason text
-- Result: none
-- Locks: the row's
-- Index: projection_discards_pkey
INSERT INTO {schema}.projection_discards (projection, position, key, discarded_by, reason)
VALUES ($1::pg_catalog.text, $2::bigint, $3::pg_catalog.text, $4::pg_catalog.text, $5::pg_catalog.text)
ON CONFLICT ON CONSTRAINT projection_discards_pkey DO UPDATE
SET discarded_by = EXCLUDED.discarded_by,
    reason = EXCLUDED.reason,
    discarded_at = EXCLUDED.discarded_at,
    folded_again_at = NULL
