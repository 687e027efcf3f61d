-- Purpose: Delete the delivery counts of a projection's partitions, in the transaction of a rebuild's swap.
-- Parameters:
--   $1 projection text
-- Result: none
-- Locks: the rows'
-- Index: projection_delivery_counts_pkey
DELETE FROM {schema}.projection_delivery_counts WHERE projection = $1::pg_catalog.text AND partition >= 0
