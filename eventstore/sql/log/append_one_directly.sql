-- Purpose: Append one event to one stream in a session that may write to the table directly, or nothing if the stream has
--   another version than its writer has seen: `append_directly` then says which. It is the shortest plan that checks the
--   version: most of the cost of a lone append in the server is the number of steps in its plan.
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
-- Result: position bigint and recorded_at timestamptz; no row if nothing was written
-- Locks: ROW EXCLUSIVE on events, taken before the position is drawn; the new keys
-- Index: events_pkey, read backwards
INSERT INTO {schema}.events (
    position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
)
SELECT
    pg_catalog.nextval({regclass events_position_seq}), $1::pg_catalog.uuid, $2::integer, $3::pg_catalog.uuid,
    $4::pg_catalog.text, $5::pg_catalog.text, $6::smallint, $7::pg_catalog.text::pg_catalog.jsonb,
    $8::pg_catalog.text::pg_catalog.jsonb, $9::pg_catalog.timestamptz, pg_catalog.statement_timestamp()
WHERE
    CASE
        WHEN $10::pg_catalog.text IS NULL THEN true
        ELSE pg_catalog.set_config('lock_timeout', $10::pg_catalog.text, true) IS NOT NULL
    END
    AND coalesce((
        SELECT last.version FROM {schema}.events AS last
        WHERE last.stream_id = $1::pg_catalog.uuid
        ORDER BY last.version DESC
        LIMIT 1
    ), 0) = $2::integer - 1
RETURNING position, recorded_at
