-- Purpose: Read the rows of orders that contain no event beyond a point in time. The table's name is replaced for
--   other read tables.
-- Parameters:
--   $1 ids uuid[]
--   $2 through bigint position, inclusive
--   $3 recorded_at timestamp with time zone inclusive; NULL for any
--   $4 occurred_at timestamp with time zone inclusive; NULL for any
--   $5 projection text that keeps the table
--   $6 version integer of the code's projection; rows of another version are left out
-- Result: the columns of orders, version as row_version too
-- Locks: none beyond ACCESS SHARE
-- Index: orders_pkey, events_pkey, projections_pkey
SELECT row.*, row.version AS row_version FROM {schema}.instruments AS row
WHERE row.id = ANY ($1::pg_catalog.uuid[])
    AND row.last_position <= $2::bigint
    AND ($3::pg_catalog.timestamptz IS NULL OR NOT EXISTS (
        SELECT FROM {schema}.events AS event
        WHERE event.stream_id = row.id AND event.version <= row.version AND event.recorded_at > $3::pg_catalog.timestamptz
    ))
    AND ($4::pg_catalog.timestamptz IS NULL OR NOT EXISTS (
        SELECT FROM {schema}.events AS event
        WHERE event.stream_id = row.id AND event.version <= row.version AND event.occurred_at > $4::pg_catalog.timestamptz
    ))
    AND NOT EXISTS (SELECT FROM {schema}.projections WHERE name = $5::pg_catalog.text AND version <> $6::integer)

