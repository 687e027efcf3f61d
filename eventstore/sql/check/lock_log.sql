-- Purpose: Keep appends out until the transaction ends; reads go on. Only the owner and importers have the right.
-- Parameters: none
-- Result: one row without meaning
-- Locks: SHARE ROW EXCLUSIVE on events, to the end of the transaction
-- Index: none
SELECT {schema}.lock_event_log()
