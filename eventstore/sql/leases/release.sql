-- Purpose: Release a lease, so that another process can take it at once. Its owner may not know its epoch, if it was
--   interrupted while it took the lease.
-- Parameters:
--   $1 projection text
--   $2 owner text{partition}
-- Result: none
-- Locks: the row's
-- Index: {table}_pkey
UPDATE {schema}.{table} SET lease_owner = NULL, lease_expires_at = NULL
WHERE {is_row} AND lease_owner = $2::pg_catalog.text
