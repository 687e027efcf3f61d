-- Purpose: List seals for people to look at, the newest first.
-- Parameters:
--   $1 before bigint block, exclusive; NULL for the newest
--   $2 limit bigint seals
-- Result: block bigint, after_position bigint, through_position bigint, events bigint, sealed_at timestamptz, root bytea,
--   seal bytea
-- Locks: none beyond ACCESS SHARE
-- Index: event_seals_pkey, backwards
SELECT block, after_position, through_position, events, sealed_at, root, seal FROM {schema}.event_seals
WHERE $1::bigint IS NULL OR block < $1::bigint
ORDER BY block DESC
LIMIT $2::bigint
