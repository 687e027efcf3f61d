-- Purpose: Read the events of several streams, each after a version, that belong to a point in time; by occurred_at the
--   first event of a stream too. State snapshots tell which parts of a long stream cannot hold such events.
-- Parameters:
--   $1 stream_ids uuid[]
--   $2 after_versions integer[] exclusive, one for each stream
--   $3 through bigint position, inclusive
--   $4 recorded_at timestamp with time zone inclusive; NULL for any
--   $5 occurred_at timestamp with time zone inclusive; NULL for any
--   $6 bytes_max bigint of JSON; the events end with the one that reaches it
-- Result: the columns of events, is_full boolean (true in the last row if there may be more events)
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey, state_snapshots_pkey, state_snapshots_stream_position_idx, state_snapshots_recorded_idx
WITH given AS MATERIALIZED (
    SELECT stream_id, after_version FROM unnest($1::pg_catalog.uuid[], $2::integer[]) AS given (stream_id, after_version)
),
parts AS MATERIALIZED (
    -- A position or a recorded_at ends a stream: nothing belongs to it after the first state with an event beyond it.
    SELECT
        given.stream_id,
        given.after_version AS after,
        coalesce(least(
            (
                SELECT kept.version FROM {schema}.state_snapshots AS kept
                WHERE kept.stream_id = given.stream_id AND kept.position > $3::bigint
                ORDER BY kept.position
                LIMIT 1
            ),
            CASE WHEN $4::pg_catalog.timestamptz IS NOT NULL THEN (
                SELECT kept.version FROM {schema}.state_snapshots AS kept
                WHERE kept.stream_id = given.stream_id AND kept.recorded_through > $4::pg_catalog.timestamptz
                ORDER BY kept.recorded_through, kept.version
                LIMIT 1
            ) END
        ), 2147483647) AS through
    FROM given
    WHERE $5::pg_catalog.timestamptz IS NULL
    UNION ALL
    -- By occurred_at events may belong to it anywhere. The first part is read for the first event.
    SELECT given.stream_id, part.after, part.through
    FROM given
    CROSS JOIN LATERAL (
        SELECT
            greatest(pg_catalog.lag(kept.version) OVER in_order, given.after_version) AS after,
            kept.version AS through, kept.after_version, kept.occurred_from
        FROM {schema}.state_snapshots AS kept
        WHERE kept.stream_id = given.stream_id AND kept.version > given.after_version
        WINDOW in_order AS (ORDER BY kept.version)
    ) AS part
    WHERE $5::pg_catalog.timestamptz IS NOT NULL
        AND (part.occurred_from <= $5::pg_catalog.timestamptz OR part.after_version > part.after OR part.after = 0)
    UNION ALL
    SELECT
        given.stream_id,
        greatest(given.after_version, (
            SELECT kept.version FROM {schema}.state_snapshots AS kept
            WHERE kept.stream_id = given.stream_id
            ORDER BY kept.version DESC
            LIMIT 1
        )),
        2147483647
    FROM given
    WHERE $5::pg_catalog.timestamptz IS NOT NULL
)
SELECT position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at, bytes >= $6::bigint AS is_full
FROM (
    SELECT event.*, pg_catalog.sum(event.size) OVER (ORDER BY event.stream_id, event.version ROWS UNBOUNDED PRECEDING) AS bytes
    FROM parts
    CROSS JOIN LATERAL (
        SELECT
            event.position, event.stream_id, event.version, event.event_id, event.category, event.type,
            event.schema_version, event.data, event.metadata, event.occurred_at, event.recorded_at,
            {event_bytes} AS size
        FROM {schema}.events AS event
        WHERE event.stream_id = parts.stream_id AND event.version > parts.after AND event.version <= parts.through
            AND event.position <= $3::bigint
            AND ($4::pg_catalog.timestamptz IS NULL OR event.recorded_at <= $4::pg_catalog.timestamptz)
            AND ($5::pg_catalog.timestamptz IS NULL OR event.occurred_at <= $5::pg_catalog.timestamptz OR event.version = 1)
        OFFSET 0
    ) AS event
) AS counted
WHERE bytes - size < $6::bigint
ORDER BY stream_id, version
