-- Purpose: Read the rows of orders that contain no event beyond a point in time. Of a long stream only the events since
--   its last state snapshot are looked at. The table's name is replaced for other read tables.
-- Parameters:
--   $1 ids uuid[]
--   $2 through bigint position, inclusive
--   $3 recorded_at timestamp with time zone inclusive; NULL for any
--   $4 occurred_at timestamp with time zone inclusive; NULL for any
--   $5 projection text that keeps the table
--   $6 version integer of the code's projection; rows of another version are left out
-- Result: the columns of orders, version as row_version too
-- Locks: none beyond ACCESS SHARE
-- Index: orders_pkey, state_snapshots_pkey, events_pkey, projections_pkey
SELECT row.*, row.version AS row_version
FROM {schema}.portfolio_snapshots AS row
LEFT JOIN LATERAL (
    SELECT kept.version, kept.recorded_through, kept.occurred_through
    FROM {schema}.state_snapshots AS kept
    WHERE kept.stream_id = row.id AND kept.version <= row.version
    ORDER BY kept.version DESC
    LIMIT 1
) AS last ON true
WHERE row.id = ANY ($1::pg_catalog.uuid[])
    AND row.last_position <= $2::bigint
    AND ($3::pg_catalog.timestamptz IS NULL OR (
        (last.recorded_through > $3::pg_catalog.timestamptz) IS NOT TRUE
        AND NOT EXISTS (
            SELECT FROM {schema}.events AS event
            WHERE event.stream_id = row.id AND event.version > coalesce(last.version, 0) AND event.version <= row.version
                AND event.recorded_at > $3::pg_catalog.timestamptz
        )
    ))
    AND ($4::pg_catalog.timestamptz IS NULL OR (
        (last.occurred_through > $4::pg_catalog.timestamptz) IS NOT TRUE
        AND NOT EXISTS (
            SELECT FROM {schema}.events AS event
            WHERE event.stream_id = row.id AND event.version > coalesce(last.version, 0) AND event.version <= row.version
                AND event.occurred_at > $4::pg_catalog.timestamptz
        )
    ))
    AND NOT EXISTS (SELECT FROM {schema}.projections WHERE name = $5::pg_catalog.text AND version <> $6::integer)

