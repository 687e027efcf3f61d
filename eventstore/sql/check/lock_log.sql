-- Purpose: Keep appends out until the transaction ends; reads go on.
-- Parameters: none
-- Result: none
-- Locks: EXCLUSIVE on events
-- Index: none
LOCK TABLE {schema}.events IN EXCLUSIVE MODE
