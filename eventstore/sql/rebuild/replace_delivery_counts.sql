-- Purpose: Make the delivery counts of a rebuild (partition -1) those of the projection, after
--   `clear_delivery_counts`.
-- Parameters:
--   $1 projection text
-- Result: none
-- Locks: the rows'
-- Index: projection_delivery_counts_pkey
UPDATE {schema}.projection_delivery_counts SET partition = 0 WHERE projection = $1::pg_catalog.text AND partition < 0
