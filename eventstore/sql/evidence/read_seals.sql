-- Purpose: Read seals in order, without their entries.
-- Parameters:
--   $1 after bigint block, exclusive; NULL for all, also those with an invalid number or without one
--   $2 through bigint block, inclusive; NULL for all
-- Result: block bigint, after_position bigint, through_position bigint, events bigint, sealed_at bytea (PostgreSQL's
--   binary form), root bytea, previous bytea, seal bytea; in the order of blocks, those without a number last
-- Locks: none beyond ACCESS SHARE
-- Index: event_seals_pkey
SELECT
    block, after_position, through_position, events, pg_catalog.timestamptz_send(sealed_at) AS sealed_at, root, previous, seal
FROM {schema}.event_seals
WHERE ($1::bigint IS NULL OR block > $1::bigint) AND ($2::bigint IS NULL OR block <= $2::bigint)
ORDER BY block
