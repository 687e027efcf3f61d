-- Purpose: Make what a rebuild was given (partition -1) the projection's deliveries, after `clear_deliveries`.
-- Parameters:
--   $1 projection text
-- Result: none
-- Locks: the rows'
-- Index: projection_deliveries_pkey
UPDATE {schema}.projection_deliveries SET partition = 0 WHERE projection = $1::pg_catalog.text AND partition < 0
