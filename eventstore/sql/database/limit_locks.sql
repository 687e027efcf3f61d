-- Purpose: Limit how long the statements of the transaction wait for locks.
-- Parameters:
--   $1 lock_timeout text with a unit, such as 60s
-- Result: lock_timeout text
-- Locks: none
-- Index: none
SELECT pg_catalog.set_config('lock_timeout', $1::pg_catalog.text, true) AS lock_timeout
