-- Purpose: Append one event to one stream as `append_one` does, in a session that may write to the table directly: it
--   does not call the function, whose call costs the server a tenth of the append.
-- Parameters:
--   $1 stream_id uuid
--   $2 version integer of the event; its writer has seen the version before it
--   $3 event_id uuid
--   $4 category text
--   $5 type text
--   $6 schema_version smallint
--   $7 data text JSON
--   $8 metadata text JSON
--   $9 occurred_at timestamp with time zone
--   $10 lock_timeout text with a unit, such as 50ms; NULL leaves the session's
-- Result: position bigint and recorded_at timestamptz, NULL if nothing was written; actual integer, the stream's
--   version before
-- Locks: ROW EXCLUSIVE on events, taken before the position is drawn; the new keys
-- Index: events_pkey, read backwards
WITH seen AS MATERIALIZED (
    SELECT
        coalesce((
            SELECT last.version FROM {schema}.events AS last
            WHERE last.stream_id = $1::pg_catalog.uuid
            ORDER BY last.version DESC
            LIMIT 1
        ), 0) AS actual,
        pg_catalog.set_config(
            'lock_timeout', coalesce($10::pg_catalog.text, pg_catalog.current_setting('lock_timeout')), true
        ) AS lock_timeout
),
appended AS (
    INSERT INTO {schema}.events (
        position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
        recorded_at
    )
    SELECT
        pg_catalog.nextval({regclass events_position_seq}), $1::pg_catalog.uuid, $2::integer, $3::pg_catalog.uuid,
        $4::pg_catalog.text, $5::pg_catalog.text, $6::smallint, $7::pg_catalog.text::pg_catalog.jsonb,
        $8::pg_catalog.text::pg_catalog.jsonb, $9::pg_catalog.timestamptz, pg_catalog.statement_timestamp()
    FROM seen
    WHERE seen.actual = $2::integer - 1
    RETURNING position, recorded_at
)
SELECT appended.position, appended.recorded_at, seen.actual
FROM seen
LEFT JOIN appended ON true
