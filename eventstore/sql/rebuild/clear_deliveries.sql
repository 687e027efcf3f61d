-- Purpose: Forget what the partitions of a projection were given, in the transaction of a rebuild's swap.
-- Parameters:
--   $1 projection text
-- Result: none
-- Locks: the rows'
-- Index: projection_deliveries_pkey
DELETE FROM {schema}.projection_deliveries WHERE projection = $1::pg_catalog.text AND partition >= 0
