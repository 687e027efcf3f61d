-- Purpose: Set the sequence so that the next event comes after every position of the log.
-- Parameters:
--   $1 position bigint of the last event
-- Result: position bigint
-- Locks: the sequence's own
-- Index: none
SELECT pg_catalog.setval({regclass events_position_seq}, $1::bigint) AS position
