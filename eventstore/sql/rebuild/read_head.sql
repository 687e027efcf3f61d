-- Purpose: Read the highest position that is visible.
-- Parameters: none
-- Result: head bigint
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT coalesce(pg_catalog.max(position), 0) AS head FROM {schema}.events WHERE position <= {positions_max}
