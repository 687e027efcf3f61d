-- Purpose: Append one event to one stream: as `append`, without the cost of its document. If the stream's version is
--   not the one that its writer has seen, nothing is written. If another writer is in flight at the same version, the
--   statement waits for it on the primary key and then fails with unique_violation (events_pkey).
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
-- Result: position bigint and recorded_at timestamptz, NULL if nothing was written; and then actual integer, the
--   stream's version
-- Locks: ROW EXCLUSIVE on events, taken before the position is drawn; the new keys
-- Index: events_pkey, read backwards
SELECT position, recorded_at, actual FROM {schema}.append_event(
    $1::pg_catalog.uuid, $2::integer, $3::pg_catalog.uuid, $4::pg_catalog.text, $5::pg_catalog.text, $6::smallint,
    $7::pg_catalog.text, $8::pg_catalog.text, $9::pg_catalog.timestamptz, $10::pg_catalog.text
)
