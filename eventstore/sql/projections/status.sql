-- Purpose: Tell how each projection stands: how far it is behind, who works on it, and what is in quarantine.
-- Parameters: none
-- Result: projection text, lanes bigint, lanes_active bigint (with a lease that has not expired), position bigint (of the lane
--   that is furthest behind), lag_events bigint (positions, so that a hole counts too), lag_s double precision seconds
--   since the oldest event was recorded that is not folded, quarantined bigint keys, moved_s_ago double precision
-- Locks: none beyond ACCESS SHARE
-- Index: projection_checkpoints_pkey, events_position_key, projection_quarantine_pkey
SELECT
    folded.projection, folded.lanes, folded.lanes_active, folded.position,
    greatest(0, coalesce((SELECT max(position) FROM events), 0) - folded.position) AS lag_events,
    coalesce(
        (
            SELECT greatest(0, extract(epoch FROM clock_timestamp() - event.recorded_at))::double precision
            FROM events AS event
            WHERE event.position > folded.position
            ORDER BY event.position
            LIMIT 1
        ),
        0
    ) AS lag_s,
    (SELECT count(*) FROM projection_quarantine AS held WHERE held.projection = folded.projection) AS quarantined,
    folded.moved_s_ago
FROM (
    SELECT
        projection,
        count(*) AS lanes,
        count(*) FILTER (WHERE lease_expires_at > clock_timestamp()) AS lanes_active,
        min(position) AS position,
        extract(epoch FROM clock_timestamp() - max(moved_at))::double precision AS moved_s_ago
    FROM projection_checkpoints
    GROUP BY projection
) AS folded
ORDER BY folded.projection
