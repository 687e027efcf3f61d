-- Purpose: Store states of streams, each with the times of the events in it. Only the events since the state before are
--   read. A state that is stored already is replaced.
-- Parameters:
--   $1 stream_ids uuid[]
--   $2 versions integer[] of the streams
--   $3 positions bigint[] of the last event in each state
--   $4 states bytea[] JSON objects with the fields of the entity, compressed
--   $5 schema_hash integer
-- Result: none
-- Locks: none beyond the rows'
-- Index: state_snapshots_pkey, events_pkey
WITH given AS MATERIALIZED (
    SELECT
        stream_id, version, position, state,
        pg_catalog.lag(version) OVER (PARTITION BY stream_id ORDER BY version) AS version_before
    FROM unnest($1::pg_catalog.uuid[], $2::integer[], $3::bigint[], $4::pg_catalog.bytea[]) AS given (stream_id, version, position, state)
),
timed AS MATERIALIZED (
    SELECT given.*, stored.*, since.*
    FROM given
    LEFT JOIN LATERAL (
        SELECT kept.version AS stored_version, kept.recorded_through AS stored_recorded, kept.occurred_through AS stored_occurred
        FROM {schema}.state_snapshots AS kept
        WHERE kept.stream_id = given.stream_id AND kept.version < given.version
        ORDER BY kept.version DESC
        LIMIT 1
    ) AS stored ON true
    CROSS JOIN LATERAL (
        SELECT
            pg_catalog.max(event.recorded_at) AS recorded_through,
            pg_catalog.min(event.occurred_at) AS occurred_from,
            pg_catalog.max(event.occurred_at) AS occurred_through
        FROM {schema}.events AS event
        WHERE event.stream_id = given.stream_id AND event.version <= given.version
            AND event.version > coalesce(greatest(given.version_before, stored.stored_version), 0)
    ) AS since
)
INSERT INTO {schema}.state_snapshots (
    stream_id, version, position, state, schema_hash, after_version, recorded_through, occurred_from, occurred_through
)
SELECT
    stream_id, version, position, state, $5::integer,
    coalesce(greatest(version_before, stored_version), 0),
    greatest(stored_recorded, pg_catalog.max(recorded_through) OVER so_far),
    occurred_from,
    greatest(stored_occurred, pg_catalog.max(occurred_through) OVER so_far)
FROM timed
WHERE recorded_through IS NOT NULL
WINDOW so_far AS (PARTITION BY stream_id ORDER BY version)
ON CONFLICT (stream_id, version) DO UPDATE SET state = EXCLUDED.state, schema_hash = EXCLUDED.schema_hash
