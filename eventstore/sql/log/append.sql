-- Purpose: Append events to any number of streams, all or nothing. A stream whose version is not the one its
--   writer has seen makes the statement write nothing and return the streams in conflict instead. Positions
--   are drawn in the order of the arrays (staging); rows go in by (stream_id, version), so that two appends
--   which cross cannot deadlock. A writer still in flight at the same version is waited for on the primary
--   key and ends in unique_violation (events_pkey).
-- Parameters:
--   $1 heads uuid[] one for each stream
--   $2 expected integer[] versions their writer has seen, 0 for a new stream
--   $3 stream_ids uuid[] one for each event, in staging order, as all that follow
--   $4 versions integer[]
--   $5 event_ids uuid[]
--   $6 categories text[]
--   $7 types text[]
--   $8 schema_versions smallint[]
--   $9 data text[] JSON
--   $10 metadata text[] JSON
--   $11 occurred_at timestamp with time zone[]
--   $12 lock_timeout text with a unit, such as 50ms; NULL leaves the session's
-- Result: position bigint, recorded_at timestamptz of each event; or stream_id uuid, expected integer,
--   actual integer of each stream in conflict
-- Locks: ROW EXCLUSIVE on events, taken before the first position is drawn; the new keys
-- Index: events_pkey, read backwards once for each stream
WITH bounded AS MATERIALIZED (
    -- The arrays below stand in sub-selects so that the planner cannot see how long they are: every plan then costs
    -- the same, and PostgreSQL goes over to a generic one after five calls, which saves a third of the time.
    SELECT set_config('lock_timeout', coalesce($12::text, current_setting('lock_timeout')), true) AS lock_timeout
),
conflicts AS MATERIALIZED (
    SELECT head.stream_id, head.expected, head.actual
    FROM (
        SELECT seen.stream_id, seen.expected, coalesce((
            SELECT last.version FROM events AS last
            WHERE last.stream_id = seen.stream_id
            ORDER BY last.version DESC
            LIMIT 1
        ), 0) AS actual
        FROM unnest((SELECT $1::uuid[]), (SELECT $2::integer[])) AS seen (stream_id, expected)
    ) AS head
    WHERE head.actual <> head.expected
),
staged AS MATERIALIZED (
    SELECT nextval('events_position_seq') AS position, event.*
    FROM unnest(
        (SELECT $3::uuid[]), (SELECT $4::integer[]), (SELECT $5::uuid[]), (SELECT $6::text[]), (SELECT $7::text[]),
        (SELECT $8::smallint[]), (SELECT $9::text[]), (SELECT $10::text[]), (SELECT $11::timestamptz[])
    ) AS event (
        stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at
    )
    WHERE NOT EXISTS (SELECT FROM conflicts) AND EXISTS (SELECT FROM bounded)
),
appended AS (
    INSERT INTO events (
        position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
        recorded_at
    )
    SELECT
        position, stream_id, version, event_id, category, type, schema_version, data::jsonb, metadata::jsonb,
        occurred_at, statement_timestamp()
    FROM staged
    ORDER BY stream_id, version
    RETURNING position, recorded_at
)
SELECT position, recorded_at, NULL::uuid AS stream_id, NULL::integer AS expected, NULL::integer AS actual
FROM appended
UNION ALL
SELECT NULL, NULL, stream_id, expected, actual FROM conflicts
