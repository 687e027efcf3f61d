-- Purpose: Have the next event come after every position of the log.
-- Parameters:
--   $1 position bigint the last one
-- Result: position bigint
-- Locks: the sequence's own
-- Index: none
SELECT pg_catalog.setval({regclass events_position_seq}, $1::bigint) AS position
