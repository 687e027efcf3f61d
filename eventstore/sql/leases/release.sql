-- Purpose: Release a lease, so that another process can take it at once.
-- Parameters:
--   $1 projection text
--   $2 epoch bigint{partition}
-- Result: none
-- Locks: the row's
-- Index: {table}_pkey
UPDATE {schema}.{table} SET lease_owner = NULL, lease_expires_at = NULL
WHERE {is_row} AND epoch = $2::bigint
