-- Purpose: Take the lock by which readers in order recognise a writer, before the first position is drawn.
-- Parameters: none
-- Result: none
-- Locks: ROW EXCLUSIVE on events, to the end of the transaction
-- Index: none
LOCK TABLE {schema}.events IN ROW EXCLUSIVE MODE
