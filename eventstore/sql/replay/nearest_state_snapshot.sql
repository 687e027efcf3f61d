-- Purpose: Find the last state snapshot of a category that contains no event beyond a point in time.
-- Parameters:
--   $1 category text
--   $2 schema_hash integer
--   $3 through bigint position, inclusive
--   $4 recorded_at timestamp with time zone inclusive; NULL for any
--   $5 occurred_at timestamp with time zone inclusive; NULL for any
-- Result: id bigint, position bigint, recorded_through timestamptz, occurred_through timestamptz; no row if there is
--   none
-- Locks: none beyond ACCESS SHARE
-- Index: state_snapshots_pkey
SELECT id, position, recorded_through, occurred_through FROM {schema}.state_snapshots
WHERE category = $1::pg_catalog.text
    AND schema_hash = $2::integer
    AND position <= $3::bigint
    AND ($4::pg_catalog.timestamptz IS NULL OR recorded_through IS NULL OR recorded_through <= $4::pg_catalog.timestamptz)
    AND ($5::pg_catalog.timestamptz IS NULL OR occurred_through IS NULL OR occurred_through <= $5::pg_catalog.timestamptz)
ORDER BY position DESC
LIMIT 1
