-- Purpose: Prevent others from making or dropping state snapshots until the transaction ends; readers go on.
-- Parameters: none
-- Result: none
-- Locks: SHARE ROW EXCLUSIVE on state snapshots
-- Index: none, it reads no table
LOCK TABLE {schema}.state_snapshots IN SHARE ROW EXCLUSIVE MODE
