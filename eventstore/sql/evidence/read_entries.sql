-- Purpose: Read what a seal says of its events.
-- Parameters:
--   $1 block bigint
-- Result: entries bytea
-- Locks: none beyond ACCESS SHARE
-- Index: event_seals_pkey
SELECT entries FROM {schema}.event_seals WHERE block = $1::bigint
