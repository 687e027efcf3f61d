-- Purpose: Keep every writer out of the log while a whole log is put into it.
-- Parameters: none
-- Result: none
-- Locks: EXCLUSIVE on events, to the end of the transaction; readers go on
-- Index: none
LOCK TABLE {schema}.events IN EXCLUSIVE MODE
