-- Purpose: Read the version of the code that built the table of a projection, and the position from which its
--   deliveries are counted.
-- Parameters:
--   $1 projection text
-- Result: version integer, counted_after bigint position; no row if it was never folded
-- Locks: none beyond ACCESS SHARE
-- Index: projections_pkey
SELECT version, counted_after FROM {schema}.projections WHERE name = $1::pg_catalog.text
