-- Purpose: Append events to any number of streams as `append` does, in a session that may write to the table
--   directly, after `append_at_once` has written nothing: this statement says why.
-- Parameters:
--   $1 events text JSON: an array of objects with the names and types below, in staging order
--   $2 lock_timeout text with a unit, such as 50ms; NULL leaves the session's
-- Result: positions bigint[] in staging order and recorded_at timestamptz, both NULL if nothing was written;
--   conflicts text, a JSON array of objects with stream_id, expected and actual of each stream in conflict, NULL if
--   there is none
-- Locks: ROW EXCLUSIVE on events, taken before the first position is drawn; the new keys
-- Index: events_pkey, read backwards once for each stream
WITH bounded AS MATERIALIZED (
    SELECT pg_catalog.set_config(
        'lock_timeout', coalesce($2::pg_catalog.text, pg_catalog.current_setting('lock_timeout')), true
    ) AS lock_timeout
),
given AS MATERIALIZED (
    -- In a sub-select, so that the planner cannot look at the document: every plan then costs the same, and
    -- PostgreSQL switches to a generic one after five calls.
    SELECT event.*
    FROM pg_catalog.json_to_recordset((SELECT $1::pg_catalog.text::pg_catalog.json)) AS event (
        stream_id pg_catalog.uuid, version integer, event_id pg_catalog.uuid, category pg_catalog.text,
        type pg_catalog.text, schema_version smallint, data pg_catalog.jsonb, metadata pg_catalog.jsonb,
        occurred_at pg_catalog.timestamptz, append_digest integer
    )
),
conflicts AS MATERIALIZED (
    SELECT head.stream_id, head.expected, head.actual
    FROM (
        SELECT seen.stream_id, seen.expected, coalesce((
            SELECT last.version FROM {schema}.events AS last
            WHERE last.stream_id = seen.stream_id
            ORDER BY last.version DESC
            LIMIT 1
        ), 0) AS actual
        FROM (
            SELECT stream_id, pg_catalog.min(version) - 1 AS expected FROM given GROUP BY stream_id
        ) AS seen
    ) AS head
    WHERE head.actual <> head.expected
),
staged AS MATERIALIZED (
    SELECT pg_catalog.nextval({regclass events_position_seq}) AS position, given.*
    FROM given
    WHERE NOT EXISTS (SELECT FROM conflicts) AND EXISTS (SELECT FROM bounded)
),
appended AS (
    -- By stream and version, so that concurrent appends cannot deadlock.
    INSERT INTO {schema}.events (
        position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
        recorded_at, append_digest
    )
    SELECT
        position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
        pg_catalog.statement_timestamp(), coalesce(append_digest, 0)
    FROM staged
    ORDER BY stream_id, version
    RETURNING position, recorded_at
)
SELECT
    pg_catalog.array_agg(position ORDER BY position) AS positions,
    pg_catalog.min(recorded_at) AS recorded_at,
    (
        SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
            'stream_id', stream_id, 'expected', expected, 'actual', actual
        ))::pg_catalog.text
        FROM conflicts
    ) AS conflicts
FROM appended
