-- Purpose: List each partition of each projection: how far it is, how far behind, and who works on it.
-- Parameters: none
-- Result: projection text, partition smallint, position bigint, lag_events bigint (positions, so that a gap counts too), lag_s
--   double precision seconds since the oldest unfolded event was recorded, lease_owner text, is_active boolean (the lease has not
--   expired), epoch bigint, moved_s_ago double precision
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key; projection_checkpoints has a row for each partition
SELECT
    one.projection, one.partition, one.position,
    greatest(0, head.position - one.position) AS lag_events,
    coalesce(
        (
            SELECT greatest(0, extract(epoch FROM pg_catalog.clock_timestamp() - event.recorded_at))::double precision
            FROM {schema}.events AS event
            WHERE event.position > one.position AND event.position <= {positions_max}
            ORDER BY event.position
            LIMIT 1
        ),
        0
    ) AS lag_s,
    one.lease_owner, coalesce(one.lease_expires_at > pg_catalog.clock_timestamp(), false) AS is_active, one.epoch,
    extract(epoch FROM pg_catalog.clock_timestamp() - one.moved_at)::double precision AS moved_s_ago
FROM {schema}.projection_checkpoints AS one
CROSS JOIN (
    SELECT coalesce((SELECT pg_catalog.max(position) FROM {schema}.events WHERE position <= {positions_max}), 0) AS position
) AS head
ORDER BY one.projection, one.partition
