-- Purpose: Drop all segments of the log.
-- Parameters: none
-- Result: none; the status counts them
-- Locks: none beyond the rows'
-- Index: none, it reads the whole table
DELETE FROM {schema}.log_segments
