-- Purpose: List only the keys of a projection that are in quarantine.
-- Parameters:
--   $1 projection text
-- Result: key text
-- Locks: none beyond ACCESS SHARE
-- Index: projection_quarantine_pkey
SELECT key FROM {schema}.projection_quarantine WHERE projection = $1::pg_catalog.text
