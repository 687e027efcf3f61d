-- Purpose: Let nobody else make or drop milestones until the transaction ends; who reads them goes on.
-- Parameters: none
-- Result: none
-- Locks: SHARE ROW EXCLUSIVE on milestones
-- Index: none, it reads no table
LOCK TABLE {schema}.milestones IN SHARE ROW EXCLUSIVE MODE
