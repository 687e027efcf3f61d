-- Purpose: Return the position up to which the log was searched for streams out of order.
-- Parameters: none
-- Result: position bigint
-- Locks: none beyond ACCESS SHARE
-- Index: none, the table has one row
SELECT position FROM {schema}.disorder_search
