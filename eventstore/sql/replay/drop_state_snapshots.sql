-- Purpose: Drop all state snapshots.
-- Parameters: none
-- Result: none; the status counts them
-- Locks: none beyond the rows'
-- Index: none, it reads the whole table
DELETE FROM {schema}.state_snapshots
