-- Purpose: Let nobody else make or drop state snapshots until the transaction ends; who reads them goes on.
-- Parameters: none
-- Result: none
-- Locks: SHARE ROW EXCLUSIVE on state snapshots
-- Index: none, it reads no table
LOCK TABLE {schema}.state_snapshots IN SHARE ROW EXCLUSIVE MODE
