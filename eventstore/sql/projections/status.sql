-- Purpose: Return the state of each projection: its lag, its active workers, and its keys in quarantine.
-- Parameters: none
-- Result: projection text, partitions bigint, partitions_active bigint (with a lease that has not expired), position
--   bigint (of the partition that is furthest behind), lag_events bigint (positions, so that a gap counts too), lag_s
--   double precision seconds since the oldest unfolded event was recorded, quarantined bigint keys, moved_s_ago
--   double precision
-- Locks: none beyond ACCESS SHARE
-- Index: projection_checkpoints_pkey, events_position_key, projection_quarantine_pkey
SELECT
    folded.projection, folded.partitions, folded.partitions_active, folded.position,
    greatest(0, coalesce((SELECT pg_catalog.max(position) FROM {schema}.events WHERE position <= {positions_max}), 0) - folded.position) AS lag_events,
    coalesce(
        (
            SELECT greatest(0, extract(epoch FROM pg_catalog.clock_timestamp() - event.recorded_at))::double precision
            FROM {schema}.events AS event
            WHERE event.position > folded.position AND event.position <= {positions_max}
            ORDER BY event.position
            LIMIT 1
        ),
        0
    ) AS lag_s,
    (SELECT pg_catalog.count(*) FROM {schema}.projection_quarantine AS held WHERE held.projection = folded.projection) AS quarantined,
    folded.moved_s_ago
FROM (
    SELECT
        projection,
        pg_catalog.count(*) AS partitions,
        pg_catalog.count(*) FILTER (WHERE lease_expires_at > pg_catalog.clock_timestamp()) AS partitions_active,
        pg_catalog.min(position) AS position,
        extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.max(moved_at))::double precision AS moved_s_ago
    FROM {schema}.projection_checkpoints
    GROUP BY projection
) AS folded
ORDER BY folded.projection
