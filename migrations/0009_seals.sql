-- Seals: blocks of settled events, each with a hash over its events and over the seal before.
-- migrate:creates: event_seals

-- migrate:up

-- One row a block; the form of each value is in docs/evidence.md, byte by byte. The constraints hold who writes by
-- hand; the proof is in the hashes.
CREATE TABLE event_seals (
    block            bigint      NOT NULL,
    after_position   bigint      NOT NULL,
    through_position bigint      NOT NULL,
    events           bigint      NOT NULL,
    sealed_at        timestamptz NOT NULL,
    root             bytea       NOT NULL,
    previous         bytea       NOT NULL,
    seal             bytea       NOT NULL,
    entries          bytea       NOT NULL,
    CONSTRAINT event_seals_pkey PRIMARY KEY (block),
    CONSTRAINT event_seals_block_positive CHECK (block >= 1),
    CONSTRAINT event_seals_range_check CHECK (after_position >= 0 AND through_position > after_position),
    CONSTRAINT event_seals_events_check CHECK (events >= 1 AND length(entries) = 40 * events),
    CONSTRAINT event_seals_hashes_check CHECK (length(root) = 32 AND length(previous) = 32 AND length(seal) = 32)
);

-- Hashes do not compress.
ALTER TABLE event_seals ALTER COLUMN entries SET STORAGE EXTERNAL;

COMMENT ON TABLE event_seals IS 'Append-only: what the log was when it was sealed. Keep the newest seal outside.';
COMMENT ON COLUMN event_seals.entries IS 'Of each event of the block its position (8 bytes) and its hash (32 bytes).';

CREATE TRIGGER event_seals_refuse_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON event_seals
    FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change();
ALTER TABLE event_seals ENABLE ALWAYS TRIGGER event_seals_refuse_change;

REVOKE UPDATE, DELETE, TRUNCATE ON event_seals FROM PUBLIC, CURRENT_USER;

-- migrate:requires-empty: event_seals
-- migrate:down

DROP TABLE event_seals;
