-- Purpose: Read the last stored state of each order that contains no event beyond a point in time. The table's name
--   is replaced for other tables.
-- Parameters:
--   $1 ids uuid[]
--   $2 through bigint position, inclusive
--   $3 recorded_at timestamp with time zone inclusive; NULL for any
--   $4 occurred_at timestamp with time zone inclusive; NULL for any
--   $5 schema_hash integer
-- Result: the columns of state_snapshot_orders, version as row_version too
-- Locks: none beyond ACCESS SHARE
-- Index: state_snapshot_orders_pkey
SELECT state.*, state.version AS row_version FROM pg_catalog.unnest($1::pg_catalog.uuid[]) AS given (id)
JOIN LATERAL (
    SELECT stored.* FROM {schema}.state_snapshot_instruments AS stored
    WHERE stored.id = given.id
        AND stored.schema_hash = $5::integer
        AND pg_catalog.lower(stored.during) <= $2::bigint
        AND ($3::pg_catalog.timestamptz IS NULL OR stored.recorded_through <= $3::pg_catalog.timestamptz)
        AND ($4::pg_catalog.timestamptz IS NULL OR stored.occurred_through <= $4::pg_catalog.timestamptz)
    ORDER BY stored.stream_version DESC
    LIMIT 1
) AS state ON true

