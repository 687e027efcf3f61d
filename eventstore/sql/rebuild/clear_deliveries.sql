-- Purpose: Forget what the lanes of a projection were given, in the transaction of a rebuild's swap.
-- Parameters:
--   $1 projection text
-- Result: none
-- Locks: the rows'
-- Index: projection_deliveries_pkey
DELETE FROM projection_deliveries WHERE projection = $1::text AND lane >= 0
