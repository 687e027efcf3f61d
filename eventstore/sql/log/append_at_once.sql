-- Purpose: Append events to any number of streams as `append_directly` does, or nothing if a stream has another version
--   than its writer has seen: `append_directly` then says which. It takes four fifths of the time for a few events,
--   since most of that is the number of steps in the plan. Positions are drawn in staging order; rows are inserted by
--   (stream_id, version), so that concurrent appends cannot deadlock.
-- Parameters:
--   $1 events text JSON: an array of objects with the names and types below, in staging order
--   $2 stream_ids uuid[] each stream once
--   $3 expected integer[] for each of these streams the version that its writer has seen
--   $4 lock_timeout text with a unit, such as 50ms; NULL leaves the session's
-- Result: position bigint and recorded_at timestamptz of each event, in no order; no row if nothing was written
-- Locks: ROW EXCLUSIVE on events, taken before the first position is drawn; the new keys
-- Index: events_pkey, read backwards once for each stream
INSERT INTO {schema}.events (
    position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at,
    append_digest
)
SELECT
    position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
    pg_catalog.statement_timestamp(), coalesce(append_digest, 0)
FROM (
    -- In a sub-select, so that the planner cannot look at the document: every plan then costs the same, and PostgreSQL
    -- switches to a generic one after five calls.
    SELECT pg_catalog.nextval({regclass events_position_seq}) AS position, given.*
    FROM pg_catalog.json_to_recordset((SELECT $1::pg_catalog.text::pg_catalog.json)) AS given (
        stream_id pg_catalog.uuid, version integer, event_id pg_catalog.uuid, category pg_catalog.text,
        type pg_catalog.text, schema_version smallint, data pg_catalog.jsonb, metadata pg_catalog.jsonb,
        occurred_at pg_catalog.timestamptz, append_digest integer
    )
    WHERE
        CASE
            WHEN $4::pg_catalog.text IS NULL THEN true
            ELSE (SELECT pg_catalog.set_config('lock_timeout', $4::pg_catalog.text, true)) IS NOT NULL
        END
        AND NOT EXISTS (
            SELECT
            FROM unnest((SELECT $2::pg_catalog.uuid[]), (SELECT $3::integer[])) AS head (stream_id, expected)
            WHERE head.expected <> coalesce((
                SELECT last.version FROM {schema}.events AS last
                WHERE last.stream_id = head.stream_id
                ORDER BY last.version DESC
                LIMIT 1
            ), 0)
        )
) AS staged
ORDER BY stream_id, version
RETURNING position, recorded_at
