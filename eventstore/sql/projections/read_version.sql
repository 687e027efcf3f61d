-- Purpose: Read which version of its code the table of a projection was built by, and since when its deliveries are counted.
-- Parameters:
--   $1 projection text
-- Result: version integer, counted_after bigint position; no row where it was never folded
-- Locks: none beyond ACCESS SHARE
-- Index: projections_pkey
SELECT version, counted_after FROM {schema}.projections WHERE name = $1::pg_catalog.text
