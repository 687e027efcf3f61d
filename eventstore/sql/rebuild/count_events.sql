-- Purpose: Count the events up to a position by category, for a proof that is to have read all of them.
-- Parameters:
--   $1 through bigint position, inclusive
-- Result: category text, events bigint
-- Locks: none beyond ACCESS SHARE
-- Index: none: the whole log is counted, and once a rebuild
SELECT category, pg_catalog.count(*) AS events FROM {schema}.events WHERE position <= $1::bigint GROUP BY category
