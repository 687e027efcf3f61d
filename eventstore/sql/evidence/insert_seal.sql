-- Purpose: Add a seal. If two processes seal the same block at once, one fails with unique_violation
--   (event_seals_pkey).
-- Parameters:
--   $1 block bigint
--   $2 after_position bigint
--   $3 through_position bigint
--   $4 events bigint
--   $5 sealed_at timestamp with time zone
--   $6 root bytea
--   $7 previous bytea
--   $8 seal bytea
--   $9 entries bytea
-- Result: none
-- Locks: ROW EXCLUSIVE on event_seals; the new key
-- Index: none
INSERT INTO {schema}.event_seals (
    block, after_position, through_position, events, sealed_at, root, previous, seal, entries
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
