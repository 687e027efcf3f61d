-- Seals: blocks of final events, each with a hash over its events and over the seal before it.
-- migrate:creates: event_seals, event_seals_follow

-- migrate:up

-- docs/evidence.md describes each value byte by byte. The constraints guard against writing by hand; the proof is in the hashes.
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

COMMENT ON TABLE event_seals IS
    'Seals: what the log was when it was sealed. Append-only. Keep the newest seal outside of the database.';
COMMENT ON COLUMN event_seals.block IS 'The number of the block: 1, 2, 3 without gaps.';
COMMENT ON COLUMN event_seals.after_position IS
    'The block holds the events after this position, which is where the block before ends.';
COMMENT ON COLUMN event_seals.through_position IS 'The position of the last event of the block.';
COMMENT ON COLUMN event_seals.events IS 'How many events the block has.';
COMMENT ON COLUMN event_seals.sealed_at IS 'When the block was sealed, by the clock of the database.';
COMMENT ON COLUMN event_seals.root IS 'The root of the Merkle tree over the hashes of the events.';
COMMENT ON COLUMN event_seals.previous IS 'The seal before; zeros for the first.';
COMMENT ON COLUMN event_seals.seal IS 'The hash over all columns before it.';
COMMENT ON COLUMN event_seals.entries IS 'For each event of the block its position (8 bytes) and its hash (32 bytes).';

CREATE TRIGGER event_seals_refuse_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON event_seals
    FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change();
ALTER TABLE event_seals ENABLE ALWAYS TRIGGER event_seals_refuse_change;

REVOKE UPDATE, DELETE, TRUNCATE ON event_seals FROM PUBLIC, CURRENT_USER;

-- A seal that does not follow the last one, or that ends where no event is, could never be taken back. A sealer is trusted with
-- its hashes and with nothing else. If a position of the block is missing, a writer in flight may own it: the function waits for its
-- transaction, a second at most, and then counts the events again.
CREATE FUNCTION event_seals_follow() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    before  record;
    counted bigint;
    writers text[];
BEGIN
    SELECT block, through_position, seal INTO before
    FROM {schema}.event_seals WHERE block < NEW.block ORDER BY block DESC LIMIT 1;
    IF (NEW.block, NEW.after_position, NEW.previous) IS DISTINCT FROM (
        coalesce(before.block, 0) + 1, coalesce(before.through_position, 0),
        coalesce(before.seal, decode(repeat('00', 32), 'hex'))
    ) THEN
        RAISE EXCEPTION 'seal % does not follow the last one, which is % and ends at position %', NEW.block,
                coalesce(before.block, 0), coalesce(before.through_position, 0)
            USING ERRCODE = 'check_violation', CONSTRAINT = 'event_seals_follow';
    END IF;
    IF NOT EXISTS (SELECT FROM {schema}.events WHERE position = NEW.through_position) THEN
        RAISE EXCEPTION 'seal % ends at position %, where no event is', NEW.block, NEW.through_position
            USING ERRCODE = 'check_violation', CONSTRAINT = 'event_seals_follow';
    END IF;
    IF NEW.through_position - NEW.after_position > NEW.events THEN
        FOR attempt IN 0 .. 100 LOOP
            IF attempt > 0 THEN
                PERFORM pg_sleep(0.01);
            END IF;
            SELECT array_agg(DISTINCT held.virtualtransaction) INTO writers
            FROM pg_locks AS held
            WHERE held.locktype = 'relation'
                AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND held.relation = {regclass events}::oid
                AND held.mode = 'RowExclusiveLock'
                AND held.granted
                AND held.pid IS DISTINCT FROM pg_backend_pid()
                AND (attempt = 0 OR held.virtualtransaction = ANY (writers));
            EXIT WHEN writers IS NULL;
        END LOOP;
        IF writers IS NOT NULL THEN
            RAISE EXCEPTION 'position % and those before are not final: a transaction that has appended is still open',
                    NEW.through_position
                USING ERRCODE = 'lock_not_available';
        END IF;
    END IF;
    SELECT count(*) INTO counted
    FROM {schema}.events WHERE position > NEW.after_position AND position <= NEW.through_position;
    IF counted <> NEW.events THEN
        RAISE EXCEPTION 'seal % is of % events, but there are %', NEW.block, NEW.events, counted
            USING ERRCODE = 'check_violation', CONSTRAINT = 'event_seals_follow';
    END IF;
    RETURN NULL;
END
$body$;

CREATE TRIGGER event_seals_follow
    AFTER INSERT ON event_seals
    FOR EACH ROW EXECUTE FUNCTION event_seals_follow();

REVOKE ALL ON FUNCTION event_seals_follow() FROM PUBLIC;

-- migrate:requires-empty: event_seals
-- migrate:down

DROP TABLE event_seals;
DROP FUNCTION event_seals_follow();
