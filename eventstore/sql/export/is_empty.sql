-- Purpose: Check whether the log and its seals are empty.
-- Parameters: none
-- Result: is_empty boolean
-- Locks: none beyond ACCESS SHARE
-- Index: none, the first row is enough
SELECT NOT EXISTS (SELECT FROM {schema}.events) AND NOT EXISTS (SELECT FROM {schema}.event_seals) AS is_empty
