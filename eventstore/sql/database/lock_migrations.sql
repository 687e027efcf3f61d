-- Purpose: Let one migration run at a time in this database, until the transaction ends.
-- Parameters:
--   $1 lock_timeout text with a unit, such as 60s
-- Result: one row without meaning
-- Locks: one advisory lock of the transaction; the key is the ASCII of "eventst", chosen to be no one else's
-- Index: none
SELECT pg_catalog.pg_advisory_xact_lock(28559150664676212)
FROM pg_catalog.set_config('lock_timeout', $1::pg_catalog.text, true)
