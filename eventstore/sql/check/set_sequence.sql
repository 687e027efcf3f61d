-- Purpose: Set the sequence so that the next position is the one after this. Run it in the transaction that keeps
--   appends out.
-- Parameters:
--   $1 last bigint position
-- Result: last bigint
-- Locks: none beyond the sequence's own
-- Index: none
SELECT pg_catalog.setval({regclass events_position_seq}, $1::bigint) AS last
