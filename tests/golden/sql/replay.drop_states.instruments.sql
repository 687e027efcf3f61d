-- Purpose: Drop the stored states of orders that no state snapshot needs. The table's name is replaced for other
--   tables.
-- Parameters:
--   $1 category text
-- Result: none
-- Locks: none beyond the rows'
-- Index: none, it reads the whole table
DELETE FROM {schema}.state_snapshot_instruments AS stored
WHERE NOT EXISTS (
    SELECT FROM {schema}.state_snapshots
    WHERE state_snapshots.category = $1::pg_catalog.text AND stored.during OPERATOR(pg_catalog.@>) state_snapshots.position
)

