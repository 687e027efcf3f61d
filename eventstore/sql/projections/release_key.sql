-- Purpose: Take a key out of quarantine.
-- Parameters:
--   $1 projection text
--   $2 key text
-- Result: none
-- Locks: the row's
-- Index: projection_quarantine_pkey
DELETE FROM {schema}.projection_quarantine WHERE projection = $1::pg_catalog.text AND key = $2::pg_catalog.text
