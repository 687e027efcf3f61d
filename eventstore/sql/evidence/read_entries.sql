-- Purpose: Read the entries of a seal: the positions and hashes of its events.
-- Parameters:
--   $1 block bigint
-- Result: entries bytea
-- Locks: none beyond ACCESS SHARE
-- Index: event_seals_pkey
SELECT entries FROM {schema}.event_seals WHERE block = $1::bigint
