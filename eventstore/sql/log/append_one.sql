-- Purpose: Append one event to one stream: what `append` does, without the cost of its document. Where the stream's
--   version is not the one its writer has seen, nothing is written. A writer still in flight at the same version is
--   waited for on the primary key and ends in unique_violation (events_pkey).
-- Parameters:
--   $1 stream_id uuid
--   $2 version integer the event's; its writer has seen the one before
--   $3 event_id uuid
--   $4 category text
--   $5 type text
--   $6 schema_version smallint
--   $7 data text JSON
--   $8 metadata text JSON
--   $9 occurred_at timestamp with time zone
--   $10 lock_timeout text with a unit, such as 50ms; NULL leaves the session's
-- Result: position bigint and recorded_at timestamptz, NULL where nothing was written; and then actual integer, the
--   stream's version
-- Locks: ROW EXCLUSIVE on events, taken before the position is drawn; the new keys
-- Index: events_pkey, read backwards
SELECT position, recorded_at, actual FROM {schema}.append_event(
    $1::pg_catalog.uuid, $2::integer, $3::pg_catalog.uuid, $4::pg_catalog.text, $5::pg_catalog.text, $6::smallint,
    $7::pg_catalog.text, $8::pg_catalog.text, $9::pg_catalog.timestamptz, $10::pg_catalog.text
)
