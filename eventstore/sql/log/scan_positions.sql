-- Purpose: Find how far positions are contiguous, in one snapshot. An event at a position that was never assigned
--   does not count as the end of the log.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 limit bigint positions
-- Result: contiguous bigint (the last position before the first gap; $1 if the gap comes first), last bigint (the
--   last position of the window; $1 if there is none), head bigint (the log's highest), in_recovery boolean,
--   started_at timestamp with time zone of the server, is_ordered boolean as in list_writers
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key, index only; those of the system tables
SELECT
    coalesce(pg_catalog.max(position) FILTER (WHERE position = $1::bigint + place), $1::bigint) AS contiguous,
    coalesce(pg_catalog.max(position), $1::bigint) AS last,
    coalesce((SELECT pg_catalog.max(position) FROM {schema}.events WHERE position <= {positions_max}), 0) AS head,
    pg_catalog.pg_is_in_recovery() AS in_recovery,
    pg_catalog.pg_postmaster_start_time() AS started_at,
    {is_ordered} AS is_ordered
FROM (
    SELECT position, pg_catalog.row_number() OVER (ORDER BY position) AS place
    FROM {schema}.events
    WHERE position > $1::bigint AND position <= {positions_max}
    ORDER BY position
    LIMIT $2::bigint
) AS placed
