-- Purpose: Return how fast the last events were appended, and how long after they occurred they were recorded.
-- Parameters:
--   $1 events_max bigint the number of events that are looked at
--   $2 window_s double precision seconds that the rate is of
-- Result: events bigint in that time, at most events_max; since_s double precision seconds since the first of them (NULL: none);
--   sampled bigint events whose delay is known; p50_s, p95_s, p99_s and max_s double precision seconds from occurred_at to
--   recorded_at (NULL: no events); last_recorded_at and last_occurred_at timestamptz, the latest of them
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key, backwards
WITH last AS (
    SELECT recorded_at, occurred_at FROM {schema}.events
    WHERE position <= {positions_max}
    ORDER BY position DESC
    LIMIT $1::bigint
),
delays AS (
    SELECT greatest(0, pg_catalog.date_part('epoch'::pg_catalog.text, recorded_at - occurred_at))::double precision AS delay_s,
        recorded_at, occurred_at
    FROM last
    WHERE pg_catalog.isfinite(recorded_at) AND pg_catalog.isfinite(occurred_at)
)
SELECT
    rate.events, rate.since_s, delay.sampled, delay.quantiles[1] AS p50_s, delay.quantiles[2] AS p95_s,
    delay.quantiles[3] AS p99_s, delay.max_s,
    delay.last_recorded_at, delay.last_occurred_at
FROM (
    SELECT
        pg_catalog.count(*) AS events,
        extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.min(recorded_at))::double precision AS since_s
    FROM last
    WHERE recorded_at > pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $2::double precision)
) AS rate
CROSS JOIN (
    SELECT
        pg_catalog.count(*) AS sampled,
        pg_catalog.percentile_cont(ARRAY[0.5, 0.95, 0.99]::double precision[]) WITHIN GROUP (ORDER BY delay_s) AS quantiles,
        pg_catalog.max(delay_s) AS max_s,
        pg_catalog.max(recorded_at) AS last_recorded_at, pg_catalog.max(occurred_at) AS last_occurred_at
    FROM delays
) AS delay
